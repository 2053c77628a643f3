/**
 * An app of which only a resource is known: its authorization server is found (RFC 9728), and the app registers itself
 * there (RFC 7591), as MCP servers expect it.
 */
import { problemOfUrl } from '../catalogue/addresses.ts';
import type { Provider } from '../catalogue/provider.ts';
import { EvergrantError } from '../core/errors.ts';
import type { Metadata } from '../oauth/metadata.ts';
import { protectedResourceUrls, readProtectedResource } from '../oauth/protected-resource.ts';
import { type Registration, readRegistration, registrationBody } from '../oauth/registration.ts';
import type { KeeperParts } from './parts.ts';

const TIMEOUT_MS = 10_000;

/** The variables, with each issuer added that the resource of another variable names. */
export async function withIssuers(
  parts: KeeperParts,
  provider: Provider,
  given: Readonly<Record<string, string>>,
): Promise<Readonly<Record<string, string>>> {
  const found: Record<string, string> = {};
  for (const [name, { ofResource }] of Object.entries(provider.variables)) {
    const resource = ofResource ? given[ofResource] : undefined;
    if (!resource || given[name] !== undefined) continue;
    const problem = problemOfUrl(resource, provider.reach);
    if (problem !== null) throw wrongResource(resource, problem);
    found[name] = await issuerOf(parts, provider, resource);
  }
  return { ...given, ...found };
}

async function issuerOf(parts: KeeperParts, provider: Provider, resource: string): Promise<string> {
  for (const url of protectedResourceUrls(resource)) {
    const connection = await parts.network.open(url, provider.reach, TIMEOUT_MS);
    if (connection.kind === 'not_sent') throw away(resource, connection.reason);
    const answer = await connection.send({ method: 'GET', url, headers: { accept: 'application/json' } }, TIMEOUT_MS);
    connection.close();
    if (answer.kind !== 'answer') throw away(resource, answer.reason);
    if (answer.status === 200 && answer.complete) return readProtectedResource(answer.body, resource);
  }
  throw wrongResource(resource, 'has no document of RFC 9728, so its authorization server is not known');
}

/** Registers once. Throws where the server has no registration, or refuses. */
export async function register(
  parts: KeeperParts,
  provider: Provider,
  metadata: Metadata | null,
): Promise<Registration> {
  const url = metadata?.registrationEndpoint ?? null;
  if (!metadata || url === null) throw noRegistration(provider);
  const problem = problemOfUrl(url, provider.reach);
  if (problem !== null) throw wrongResource(url, problem);
  const connection = await parts.network.open(url, provider.reach, TIMEOUT_MS);
  if (connection.kind === 'not_sent') throw away(url, connection.reason);
  const body = registrationBody('Evergrant', `${parts.publicUrl}/callback`, metadata.tokenEndpointAuthMethodsSupported);
  const headers = { 'content-type': 'application/json', accept: 'application/json' };
  const answer = await connection.send({ method: 'POST', url, headers, body }, TIMEOUT_MS);
  connection.close();
  if (answer.kind !== 'answer') throw away(url, answer.reason);
  return readRegistration(answer.status, answer.body);
}

function noRegistration({ name }: Provider): EvergrantError {
  return new EvergrantError('invalid_request', `${name} offers no registration, so a client id is needed.`, {
    remedy: 'Register an app there, and give its client id and secret.',
  });
}

function wrongResource(address: string, problem: string): EvergrantError {
  return new EvergrantError('invalid_request', `${address} ${problem}.`, {
    remedy: 'Check the address; or use the provider oidc with the issuer itself.',
  });
}

function away(address: string, reason: string): EvergrantError {
  return new EvergrantError('upstream_unavailable', `${address} could not be asked: ${reason}.`, {
    remedy: 'Try again when it can be reached from here.',
    retryAfterMs: TIMEOUT_MS,
  });
}
