/**
 * An authorization request of a client, read and checked (RFC 6749 section 4.1.1). What is wrong with the client or its
 * redirect URI is shown to the person; everything else goes back to the client.
 */
import { OAuthError } from '../oauth/oauth-error.ts';
import type { Parameters } from '../oauth/form.ts';
import type { Client } from './client.ts';
import { THUMBPRINT } from './dpop.ts';
import type { IssuerParts } from './parts.ts';
import type { Asked, Target } from './requests.ts';
import type { Rights } from './rights.ts';
import { assertScope, grantMeant, namedGrant, scopesAsked, scopesIn } from './which-grant.ts';

const CHALLENGE = /^[A-Za-z0-9_-]{43}$/;
const LONGEST_STATE = 4_096;
const LONGEST_OWNER = 255;

/** An error that goes back to the client through the browser. */
export class ErrorForClient extends Error {
  readonly location: string;

  constructor(location: string) {
    super('the client is told what is wrong');
    this.location = location;
  }
}

/** Checks all of it. `isVouched`: the client has proved itself for this request. */
export async function readAuthorizationRequest(
  parts: IssuerParts,
  client: Client,
  rights: Rights,
  parameters: Parameters,
  isVouched: boolean,
): Promise<Asked> {
  const redirectUri = redirectUriOf(client, parameters.get('redirect_uri'));
  const state = parameters.get('state') ?? null;
  try {
    assertSupported(client, parameters);
    return {
      ...(await whatIsAsked(parts, client, rights, parameters, isVouched)),
      redirectUri,
      hasNamedRedirectUri: parameters.has('redirect_uri'),
      state,
      codeChallenge: parameters.get('code_challenge') ?? null,
      dpopJkt: parameters.get('dpop_jkt') ?? null,
    };
  } catch (cause) {
    if (!(cause instanceof OAuthError)) throw cause;
    // Who pushes a request is told at once.
    if (isVouched) throw cause;
    throw new ErrorForClient(withParameters(parts, redirectUri, state, cause.parameters));
  }
}

/** The address of the client with an answer; it names us, against mix-ups (RFC 9207). */
export function withParameters(
  { publicUrl }: Pick<IssuerParts, 'publicUrl'>,
  redirectUri: string,
  state: string | null,
  parameters: Readonly<Record<string, string>>,
): string {
  const url = new URL(redirectUri);
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  if (state !== null) url.searchParams.set('state', state);
  url.searchParams.set('iss', publicUrl);
  return url.href;
}

/** What a device asks for as well: which grant or app, which scope, for whom. */
export async function whatIsAsked(
  parts: IssuerParts,
  client: Client,
  rights: Rights,
  parameters: Parameters,
  isVouched: boolean,
): Promise<Asked> {
  const owner = parameters.get('owner') ?? null;
  if (owner !== null && (!isVouched || owner.length > LONGEST_OWNER)) {
    throw new OAuthError('invalid_request', { description: 'owner is taken from pushed requests only (RFC 9126).' });
  }
  const { target, scope } = await targetOf(parts, client, rights, parameters, isVouched);
  const noBrowser = { redirectUri: null, hasNamedRedirectUri: false, state: null, codeChallenge: null, dpopJkt: null };
  return { client: client.id, target, scope, owner, isVouched, ...noBrowser };
}

function assertSupported(client: Client, parameters: Parameters): void {
  const wrong = (description: string) => new OAuthError('invalid_request', { description });
  if (parameters.get('response_type') === undefined) throw wrong('response_type is missing.');
  if (parameters.get('response_type') !== 'code') throw new OAuthError('unsupported_response_type');
  if (!['query', undefined].includes(parameters.get('response_mode'))) throw wrong('response_mode must be query.');
  if (parameters.has('request')) throw wrong('Request objects are not taken; push the request (RFC 9126).');
  if ((parameters.get('state')?.length ?? 0) > LONGEST_STATE) throw wrong('state is too long.');
  const jkt = parameters.get('dpop_jkt');
  if (jkt !== undefined && !THUMBPRINT.test(jkt)) throw wrong('dpop_jkt is no thumbprint of a key (RFC 7638).');
  const challenge = parameters.get('code_challenge');
  if (challenge === undefined) {
    if (client.type === 'public') throw wrong('A public client must send a code_challenge (RFC 7636).');
    return;
  }
  const isS256 = parameters.get('code_challenge_method') === 'S256' && CHALLENGE.test(challenge);
  if (!isS256) throw wrong('code_challenge_method must be S256.');
}

async function targetOf(
  parts: IssuerParts,
  client: Client,
  rights: Rights,
  parameters: Parameters,
  isVouched: boolean,
): Promise<{ readonly target: Target; readonly scope: readonly string[] }> {
  const app = parameters.get('app') ?? onlyAppOf(parts, client, parameters);
  if (app !== null) {
    if (!client.apps.includes(app)) {
      throw new OAuthError('invalid_target', { description: 'The client may not connect through that app.' });
    }
    const scope = scopesIn(parameters)?.filter((one) => one !== 'offline_access') ?? [];
    return { target: { kind: 'app', app }, scope };
  }
  const grant = await grantMeant(parts, rights, parameters);
  assertScope(grant, parameters);
  // Nobody could tell whether the person who comes is the one whose account it is.
  if (!grant.account && !isVouched) {
    throw new OAuthError('access_denied', {
      description: 'The account of this grant is not known, so the client must push the request (RFC 9126).',
    });
  }
  return { target: { kind: 'grant', grant: grant.id }, scope: scopesAsked(grant, parameters) ?? [] };
}

/** Who may connect through one app and names no grant means that. */
function onlyAppOf(parts: IssuerParts, client: Client, parameters: Parameters): string | null {
  const [only] = client.apps;
  return client.apps.length === 1 && only !== undefined && namedGrant(parts, parameters) === null ? only : null;
}

/** Exactly one that is registered; on this machine any port will do (RFC 8252 section 7.3). */
export function redirectUriOf({ redirectUris }: Client, wished: string | undefined): string {
  const [only] = redirectUris;
  if (wished === undefined && redirectUris.length === 1 && only !== undefined) return only;
  if (wished !== undefined && redirectUris.some((one) => one === wished || isSameButPort(one, wished))) return wished;
  throw new OAuthError('invalid_request', {
    description:
      wished === undefined ? 'redirect_uri is missing.' : 'redirect_uri is not one that the client registered.',
  });
}

const LOOPBACK = ['127.0.0.1', '[::1]'];

function isSameButPort(registered: string, wished: string): boolean {
  const [a, b] = [URL.parse(registered), URL.parse(wished)];
  if (!a || !b || a.protocol !== 'http:' || !LOOPBACK.includes(a.hostname)) return false;
  // Written as it is registered, apart from digits after the host: no second reading is possible.
  const withoutPort = (text: string, { host, hostname }: URL) => text.replace(`//${host}`, `//${hostname}`);
  return a.hostname === b.hostname && withoutPort(registered, a) === withoutPort(wished, b);
}
