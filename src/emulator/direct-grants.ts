/**
 * Grants without an authorization: client credentials, a user's password (RFC 6749 sections 4.4 and 4.3), and an
 * assertion (RFC 7523 section 2.1). Their access tokens reach the API like any other; they bring no refresh token.
 *
 * State: of apps that act for themselves, the user that stands for them.
 */
import type { TokenScheme } from '../catalogue/provider.ts';
import { parseObject } from '../oauth/json.ts';
import type { App, User } from './accounts.ts';
import { audiencesOf } from './client-authentication.ts';
import type { Context } from './context.ts';
import type { TokenRequest } from './token-request.ts';
import { type Outcome, refused, type Upstream } from './upstream.ts';

const SCHEMES: Readonly<Record<string, TokenScheme>> = {
  client_credentials: 'client_credentials',
  password: 'password',
  'urn:ietf:params:oauth:grant-type:jwt-bearer': 'jwt_bearer',
};

/** Null where the request is about an authorization. */
export function directGrantOf({ fields }: TokenRequest): TokenScheme | null {
  const type = fields.get('grant_type') ?? '';
  return Object.hasOwn(SCHEMES, type) ? (SCHEMES[type] ?? null) : null;
}

/** `who` proved itself; null where the grant itself says who asks. */
export function directly(
  context: Context,
  parsed: TokenRequest,
  scheme: TokenScheme,
  who: { readonly app: App; readonly isPublic: boolean } | null,
): Outcome {
  if (!context.upstream.form.directGrants?.includes(scheme)) return refused('unsupported-grant-type');
  if (scheme === 'jwt_bearer') return byAssertion(context, parsed);
  if (!who) return refused('client-unknown');
  return scheme === 'password' ? byPassword(context, parsed, who.app) : byClientCredentials(context, parsed, who);
}

/** RFC 6749 section 4.4: only an app that can keep a secret. */
function byClientCredentials(
  context: Context,
  parsed: TokenRequest,
  { app, isPublic }: { readonly app: App; readonly isPublic: boolean },
): Outcome {
  if (isPublic) return refused('client-is-public');
  return issue(context, parsed, app, userOf(context.upstream, app));
}

function byPassword(context: Context, parsed: TokenRequest, app: App): Outcome {
  const { fields, realm } = parsed;
  const username = fields.get('username');
  const password = fields.get('password');
  if (username === undefined || password === undefined) return refused('malformed');
  const user = context.upstream.accounts.userAt(username, realm);
  return user && user.password === password ? issue(context, parsed, app, user) : refused('password-wrong');
}

/** The app that signed is the one that asks: the request itself need not name it. */
function byAssertion(context: Context, parsed: TokenRequest): Outcome {
  const { upstream } = context;
  const assertion = parsed.fields.get('assertion');
  if (assertion === undefined) return refused('malformed');
  const claims = claimsOf(assertion);
  const app = upstream.accounts.apps.get(typeof claims?.iss === 'string' ? claims.iss : '');
  if (!app?.keys) return refused('client-unknown');
  const audiences = audiencesOf(upstream.form, parsed.origin);
  const expected = { clientId: app.clientId, audiences, now: context.now(), anySubject: true };
  const wrong = app.keys.refusalOf(assertion, expected);
  if (wrong) return refused(`grant-${wrong}`);
  const subject = String(claims?.sub);
  const user = subject === app.clientId ? userOf(upstream, app) : upstream.accounts.userAt(subject, parsed.realm);
  return user ? issue(context, parsed, app, user) : refused('grant-subject-unknown');
}

function claimsOf(assertion: string): Readonly<Record<string, unknown>> | null {
  return parseObject(Buffer.from(assertion.split('.')[1] ?? '', 'base64url').toString());
}

const usersOf = new WeakMap<App, User>();

function userOf({ accounts }: Upstream, app: App): User {
  const known = usersOf.get(app) ?? accounts.addUser({ username: `${app.clientId}@apps.example`, fullName: app.name });
  usersOf.set(app, known);
  return known;
}

function issue(context: Context, { fields, realm }: TokenRequest, app: App, user: User): Outcome {
  const { upstream } = context;
  const { separator, byDefault } = upstream.form.scope;
  const scope = fields.get('scope')?.split(separator).filter(Boolean) ?? byDefault;
  const allowed = { user: user.id, client: app.clientId, scope, withheld: [], isOffline: false, nonce: null, realm };
  return upstream.start(allowed, context.now());
}
