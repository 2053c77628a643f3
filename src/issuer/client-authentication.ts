/**
 * Which client sends a request (RFC 6749 section 2.3): by its secret in the header or the body, by a signed assertion,
 * or, where it is public, by its name alone. A client that is not there takes the same steps as a wrong secret.
 */
import { timingSafeEqual } from 'node:crypto';
import { basicCredentials } from '../oauth/basic-credentials.ts';
import type { Parameters } from '../oauth/form.ts';
import { invalidRequest, OAuthError } from '../oauth/oauth-error.ts';
import type { Client } from './client.ts';
import { type ClientRegistry, digestOf, hasSecret } from './clients.ts';
import type { ClientEvents } from './events.ts';
import type { JsonWebTokens } from './json-web-tokens.ts';
import type { IssuerParts } from './parts.ts';

/** A request to one of our endpoints, as far as HTTP goes. */
export interface OAuthRequest {
  readonly authorization: string | undefined;
  readonly parameters: Parameters;
  /** The header of that name (RFC 9449). */
  readonly dpop?: string | undefined;
  /** The address that it comes from. */
  readonly from?: string;
}

export type Authenticate = (request: OAuthRequest) => Promise<Client>;

const JWT_BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
/** No text has this digest that anybody could send. */
const NO_DIGEST = '-'.repeat(43);

type Credentials =
  | { readonly by: 'secret'; readonly id: string; readonly secret: string }
  | { readonly by: 'assertion'; readonly id: string; readonly assertion: string }
  | { readonly by: 'name'; readonly id: string };

export function clientAuthentication(
  parts: IssuerParts,
  clients: ClientRegistry,
  webTokens: JsonWebTokens,
  events: ClientEvents,
): Authenticate {
  async function isProved(client: Client | null, credentials: Credentials): Promise<boolean> {
    switch (credentials.by) {
      case 'secret':
        return matchesSecret(client, credentials.secret, parts.clock.now());
      case 'assertion':
        return client?.authMethod === 'private_key_jwt' && webTokens.authenticates(credentials.assertion, client);
      case 'name':
        return client?.authMethod === 'none';
    }
  }

  return async (request) => {
    const credentials = credentialsIn(request);
    const stored = await clients.read(credentials.id);
    const client = stored?.client ?? null;
    if (client && (await isProved(client, credentials))) return client;
    if (!client) await isProved(null, credentials);
    const reason = client ? `wrong ${credentials.by}` : 'unknown client';
    events.note(client?.id ?? null, { type: 'client_refused', reason });
    throw new OAuthError('invalid_client');
  };
}

function credentialsIn({ authorization, parameters }: OAuthRequest): Credentials {
  const named = parameters.get('client_id');
  const secret = parameters.get('client_secret');
  const assertion = parameters.get('client_assertion');
  const ways = [authorization, secret, assertion].filter((one) => one !== undefined);
  if (ways.length > 1) throw invalidRequest('A client authenticates in one way.');
  if (authorization !== undefined) return basic(authorization, named);
  if (assertion !== undefined) return byAssertion(assertion, parameters.get('client_assertion_type'), named);
  if (named === undefined) throw new OAuthError('invalid_client');
  return secret === undefined ? { by: 'name', id: named } : { by: 'secret', id: named, secret };
}

function basic(authorization: string, named: string | undefined): Credentials {
  const credentials = basicCredentials(authorization);
  if (!credentials) throw new OAuthError('invalid_client');
  if (named !== undefined && named !== credentials.id) throw invalidRequest('Two different clients are named.');
  // Some send their name that way although they have no secret.
  if (credentials.secret === '') return { by: 'name', id: credentials.id };
  return { by: 'secret', ...credentials };
}

function byAssertion(assertion: string, type: string | undefined, named: string | undefined): Credentials {
  if (type !== JWT_BEARER) throw invalidRequest(`client_assertion_type must be ${JWT_BEARER}.`);
  // The client's own assertion names it; the word of another issuer does not (RFC 7523 section 3).
  return { by: 'assertion', id: named ?? subjectOf(assertion), assertion };
}

function subjectOf(assertion: string): string {
  try {
    const claims: unknown = JSON.parse(Buffer.from(assertion.split('.')[1] ?? '', 'base64url').toString());
    const sub = typeof claims === 'object' && claims !== null && 'sub' in claims ? claims.sub : '';
    return typeof sub === 'string' ? sub : '';
  } catch {
    return '';
  }
}

/** Compares digests of 256-bit secrets, in the same time whichever is wrong. */
function matchesSecret(client: Client | null, secret: string, now: number): boolean {
  const given = Buffer.from(digestOf(secret));
  const secrets = client && hasSecret(client) ? client.secrets : [];
  let isRight = false;
  for (const { sha256, endsAt } of secrets.length > 0 ? secrets : [{ sha256: NO_DIGEST, endsAt: null }]) {
    const isSame = timingSafeEqual(given, Buffer.from(sha256));
    if (isSame && (endsAt === null || now <= endsAt)) isRight = true;
  }
  return isRight;
}
