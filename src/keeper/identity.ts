/**
 * Which account an access token belongs to. Asking also shows whether the provider's API accepts the token; at some
 * providers (Exact Online) it activates the newest refresh token, so it is never done before that token is durable.
 */
import type { AccessToken } from '../core/secret.ts';
import { readPointer } from '../oauth/json-pointer.ts';
import { readIdToken } from '../oauth/id-token.ts';
import type { HttpAnswer } from '../ports/network.ts';
import type { Account } from './keeper.ts';
import type { KeeperParts } from './parts.ts';
import type { Upstream } from './upstream.ts';

const PROBE_TIMEOUT_MS = 5_000;

export type Probe =
  /** The API took the token; `account` is null where its answer did not name one. */
  | { readonly kind: 'accepted'; readonly account: Account | null }
  /** The API says that the token is not good (401). */
  | { readonly kind: 'rejected' }
  /** No answer, another answer, or no address to ask. */
  | { readonly kind: 'unknown'; readonly reason: string };

export async function probeAccount(parts: KeeperParts, upstream: Upstream, accessToken: AccessToken): Promise<Probe> {
  const { identity, reach, name } = upstream.provider;
  if (!identity) return { kind: 'unknown', reason: `${name} has no address to ask for the account` };
  const connection = await parts.network.open(identity.endpoint, reach, PROBE_TIMEOUT_MS);
  if (connection.kind === 'not_sent') return { kind: 'unknown', reason: connection.reason };
  try {
    const headers = { authorization: `Bearer ${accessToken.reveal()}`, accept: 'application/json' };
    const answer = await connection.send({ method: 'GET', url: identity.endpoint, headers }, PROBE_TIMEOUT_MS);
    return answer.kind === 'answer' ? readProbe(answer, identity) : { kind: 'unknown', reason: answer.reason };
  } finally {
    connection.close();
  }
}

function readProbe(answer: HttpAnswer, identity: NonNullable<Upstream['provider']['identity']>): Probe {
  if (answer.status === 401) return { kind: 'rejected' };
  if (answer.status !== 200) return { kind: 'unknown', reason: `the account address answered ${answer.status}` };
  const json = parseJson(answer.body);
  const subject = text(readPointer(json, identity.subject));
  const label = text(identity.label === null ? null : readPointer(json, identity.label)) ?? usualLabel(json);
  return { kind: 'accepted', account: subject === null ? null : { subject, label } };
}

/** How a userinfo answer calls the person where it has no name of the provider's own (OpenID Connect Core 5.1). */
function usualLabel(json: unknown): string | null {
  return (
    ['/preferred_username', '/email', '/name'].map((claim) => text(readPointer(json, claim))).find(Boolean) ?? null
  );
}

/** The account named by an id_token that came from the token endpoint itself (OpenID Connect Core 3.1.3.7). */
export function accountOfIdToken(idToken: string | null): Account | null {
  const claims = idToken === null ? null : readIdToken(idToken);
  if (!claims) return null;
  return { subject: claims.sub, label: claims.preferredUsername ?? claims.email ?? claims.name ?? null };
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    return null;
  }
}

function text(value: unknown): string | null {
  if (typeof value === 'string' && value !== '') return value;
  return typeof value === 'number' ? String(value) : null;
}
