/**
 * The authorization endpoint (RFC 6749 section 4.1.1) and the pages behind it.
 *
 * A visit is one authorization request on its way through the pages; its unguessable id travels in the form's address,
 * and no cookie is set: as at Exact Online, every authorization asks for password and verification code.
 *
 *   sign-in ──name and password──▶ verification ──code──▶ consent ──▶ redirect with code, or access_denied
 */
import type { Instant } from '../core/instant.ts';
import { fromBase32, totp, USUAL_TOTP } from '../core/totp.ts';
import type { App, User } from './accounts.ts';
import type { Allowed } from './codes.ts';
import type { Context, Preselection } from './context.ts';
import { type DeviceRequest, VERIFICATION } from './device.ts';
import { type FaultSpec, spoil, strikesBefore } from './faults.ts';
import {
  type ConsentOptions,
  captchaPage,
  consentPage,
  deviceCodePage,
  doneInBrowserPage,
  errorPage,
  loginPage,
  type PageOptions,
  totpPage,
} from './login-page.ts';
import type { Presented } from './register.ts';
import { idToken } from './token-endpoint.ts';
import { answer, type Reply, type EmulatorRequest, formOf, originOf, redirect, urlOf } from './wire.ts';

interface AuthorizationRequest {
  readonly app: App;
  /** Null where a device waits for the answer. */
  readonly redirectUri: string | null;
  readonly device: DeviceRequest | null;
  readonly state: string | null;
  readonly challenge: string | null;
  readonly responseType: 'code' | 'token';
  readonly scope: readonly string[];
  readonly isOffline: boolean;
  readonly nonce: string | null;
  readonly realm: string;
  /** What this server is called in the request. */
  readonly origin: string;
  /** RFC 9207, where the provider has it. */
  readonly iss: string | null;
}

export type LoginVisit = AuthorizationRequest &
  (
    | { readonly at: 'sign-in' }
    | { readonly at: 'verification'; readonly user: User }
    | { readonly at: 'consent'; readonly user: User }
  );

/** Loopback addresses with this path are redirect URIs of every app, on any port: this is a server for tests. */
const LOOPBACK_CALLBACK = /^http:\/\/(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?\/callback$/;

export function authorizeEndpoint(context: Context, request: EmulatorRequest): Reply {
  const url = urlOf(request);
  const { paths } = context.upstream.form;
  const visit = url.pathname.slice(paths.authorize.length + 1);
  if (visit === VERIFICATION && paths.device !== null) return deviceVisit(context, request, url);
  if (visit !== '') return continueVisit(context, request, visit);
  if (request.method !== 'GET') return answer(405, { allow: 'GET' });
  const fault = context.faults.take({
    endpoint: 'authorize',
    user: null,
    app: url.searchParams.get(context.upstream.form.clientIdParameter),
  });
  const given = fault && strikesBefore(fault) ? answer(200, {}) : begin(context, request, url, fault);
  return fault ? spoil(given, fault) : given;
}

function begin(context: Context, asked: EmulatorRequest, url: URL, fault: FaultSpec | null): Reply {
  const checked = check(context, url.searchParams, asked);
  if (!('request' in checked)) {
    record(context, 'authorize', {
      app: url.searchParams.get(context.upstream.form.clientIdParameter),
      decision: 'refused',
      reason: checked.reason,
      fault,
      status: checked.answer.status,
    });
    return checked.answer;
  }
  const decided = preselected(context, checked.request);
  if (decided) return decided;
  if (url.searchParams.get('prompt') === 'none') {
    // Nobody is ever signed in here (OpenID Connect Core 1.0 section 3.1.2.6).
    return back(checked.request, { error: 'login_required' });
  }
  return startVisit(context, checked.request, fault);
}

function startVisit(context: Context, request: AuthorizationRequest, fault: FaultSpec | null): Reply {
  const id = context.upstream.chance.text('visit', 32);
  const visit: LoginVisit = { ...request, at: 'sign-in' };
  remember(context, id, visit);
  const loginFault = takeLoginFault(context, visit);
  record(context, 'authorize', { app: visit.app.clientId, decision: 'sign-in', fault: fault ?? loginFault });
  return show(context, id, visit, loginFault, null);
}

/** A person types the code of a device, or follows a link that has it. */
function deviceVisit(context: Context, asked: EmulatorRequest, url: URL): Reply {
  const { upstream, devices } = context;
  const { form, accounts } = upstream;
  const typed = asked.method === 'POST' ? formOf(asked)?.get('user_code') : url.searchParams.get('user_code');
  const device = typed ? devices.waiting(typed, context.now()) : undefined;
  const app = device && accounts.apps.get(device.client);
  if (!device || !app) {
    const action = `${form.paths.authorize}/${VERIFICATION}`;
    const problem = typed ? 'No device waits with this code. Check it, or let the device show another one.' : null;
    return deviceCodePage({ action, providerName: form.name, appName: '', problem, isChanged: false });
  }
  const { scope, realm, origin } = device;
  const isOffline = form.givesRefreshToken({ scope, query: ALWAYS_OFFLINE });
  const nothing = { redirectUri: null, state: null, challenge: null, nonce: null, iss: null };
  const request: AuthorizationRequest = {
    ...nothing,
    app,
    device,
    responseType: 'code',
    scope,
    isOffline,
    realm,
    origin,
  };
  return preselected(context, request) ?? startVisit(context, request, null);
}

/** A device has no authorization request in which to ask for it. */
const ALWAYS_OFFLINE = new URLSearchParams({ access_type: 'offline', prompt: 'consent' });

/** The newest so many visits are remembered. */
const MOST_VISITS = 10_000;

function remember({ visits }: Context, id: string, visit: LoginVisit): void {
  visits.set(id, visit);
  const [oldest] = visits.keys();
  if (visits.size > MOST_VISITS && oldest !== undefined) visits.delete(oldest);
}

type Checked = { readonly request: AuthorizationRequest } | { readonly answer: Reply; readonly reason: string };

/** Before the app and its address are known to be right, nothing may be sent to that address. */
function check({ upstream }: Context, query: URLSearchParams, asked: EmulatorRequest): Checked {
  const wrong = (reason: string, text: string): Checked => ({
    answer: errorPage(upstream.form.name, 'This link does not work', text),
    reason,
  });
  if (new Set(query.keys()).size !== query.size) return wrong('malformed', 'A parameter comes twice.');
  const app = upstream.accounts.apps.get(query.get(upstream.form.clientIdParameter) ?? '');
  if (!app) return wrong('client-unknown', 'No app is registered under this client_id.');
  const redirectUri = query.get('redirect_uri') ?? '';
  const isRegistered = app.redirectUris.includes(redirectUri) || LOOPBACK_CALLBACK.test(redirectUri);
  if (!isRegistered || !URL.canParse(redirectUri)) {
    return wrong('redirect-uri-mismatch', 'The redirect_uri is not one that was registered for this app.');
  }
  const request = requested(upstream, { app, redirectUri, query, asked });
  const fail = (error: string): Checked => ({ answer: back(request, { error }), reason: error });
  if (!upstream.form.responseTypes.some((one) => one === query.get('response_type'))) {
    return fail('unsupported_response_type');
  }
  if (request.challenge !== null && query.get('code_challenge_method') !== 'S256') return fail('invalid_request');
  return { request };
}

function requested(
  { form, switches }: Context['upstream'],
  { app, redirectUri, query, asked }: { app: App; redirectUri: string; query: URLSearchParams; asked: EmulatorRequest },
): AuthorizationRequest {
  const named = (query.get('scope') ?? '').split(form.scope.separator).filter((one) => one !== '');
  const scope = named.length > 0 ? named : form.scope.byDefault;
  const responseType = query.get('response_type') === 'token' ? 'token' : 'code';
  return {
    app,
    redirectUri,
    device: null,
    state: query.get('state'),
    challenge: query.get('code_challenge'),
    responseType,
    scope,
    isOffline: responseType === 'code' && form.givesRefreshToken({ scope, query }),
    nonce: query.get('nonce'),
    realm: form.realm(asked.headers.host ?? '', switches),
    origin: originOf(asked),
    iss: form.openId?.hasResponseIss ? `${originOf(asked)}${form.openId.issuerPath}` : null,
  };
}

/** A test chose the outcome beforehand: no pages. */
function preselected(context: Context, request: AuthorizationRequest): Reply | null {
  const { preselection, upstream } = context;
  if (preselection.decision === 'interactive') return null;
  const { accounts } = upstream;
  const { users } = accounts;
  const user = preselection.user === null ? [...users.values()][0] : accounts.userAt(preselection.user, request.realm);
  if (preselection.once) context.preselection = { decision: 'interactive' };
  if (!user) return null;
  if (preselection.decision === 'deny') return deny(context, request, user);
  const withheld = preselection.decision === 'narrow' ? leftOut(request, preselection, user) : [];
  return conclude(context, request, user, withheld);
}

/** What a narrower consent leaves out: some scopes, or every company but the first. */
function leftOut(
  { scope }: AuthorizationRequest,
  { scope: kept = scope.slice(0, -1) }: Exclude<Preselection, { decision: 'interactive' }>,
  user: User,
): readonly string[] {
  return [...scope.filter((one) => !kept.includes(one)), String(user.division + 1)];
}

function continueVisit(context: Context, request: EmulatorRequest, id: string): Reply {
  const visit = context.visits.get(id);
  const name = context.upstream.form.name;
  if (!visit) return errorPage(name, 'This page is no longer valid', 'Start again where you came from.');
  const fields = request.method === 'POST' ? formOf(request) : new Map<string, string>();
  if (!fields) return errorPage(name, 'This form could not be read', 'Go back and try again.');
  if (request.method !== 'POST') return show(context, id, visit, takeLoginFault(context, visit), null);
  switch (visit.at) {
    case 'sign-in':
      return signIn(context, id, visit, fields);
    case 'verification':
      return verify(context, id, visit, fields);
    case 'consent':
      context.visits.delete(id);
      if (fields.get('decision') !== 'approve') return deny(context, visit, visit.user);
      return conclude(context, visit, visit.user, unticked(visit, visit.user, fields));
  }
}

function signIn(context: Context, id: string, visit: LoginVisit, fields: ReadonlyMap<string, string>): Reply {
  const username = (fields.get('username') ?? fields.get('account') ?? '').trim();
  const password = fields.get('password') ?? fields.get('secret') ?? '';
  const user = context.upstream.accounts.userAt(username, visit.realm);
  const fault = takeLoginFault(context, visit, user);
  const isRight = user !== undefined && user.password === password;
  const decision = isRight ? 'password right' : 'password wrong';
  record(context, 'login', { app: visit.app.clientId, user, decision, fault });
  if (!isRight) {
    const problem = 'This user name and password do not belong together. Check both and try again.';
    return show(context, id, visit, fault, problem, username);
  }
  return moveOn(context, id, { ...visit, at: 'verification', user }, fault);
}

function verify(
  context: Context,
  id: string,
  visit: LoginVisit & { at: 'verification' },
  fields: ReadonlyMap<string, string>,
): Reply {
  const fault = takeLoginFault(context, visit, visit.user);
  const code = (fields.get('code') ?? fields.get('pin') ?? '').replaceAll(' ', '');
  const step = stepOf(code, visit.user, context.now());
  const isFresh = step !== null && step > visit.user.lastTotpStep;
  const decision = isFresh ? 'code right' : step === null ? 'code wrong' : 'code used before';
  record(context, 'login', { app: visit.app.clientId, user: visit.user, decision, fault });
  if (!isFresh) {
    const problem = step === null ? 'This code is not right. Wait for the next one and try again.' : USED;
    return show(context, id, visit, fault, problem);
  }
  visit.user.lastTotpStep = step;
  return moveOn(context, id, { ...visit, at: 'consent' }, fault);
}

const USED = 'This code was used already. Wait for the next one and try again.';

/** The step that a code belongs to: the present one or a neighbour, since clocks differ. */
function stepOf(code: string, user: User, now: Instant): number | null {
  const secret = fromBase32(user.totpSecret);
  if (!secret) return null;
  const { stepMs } = USUAL_TOTP;
  const near = [0, -1, 1].map((away) => Math.floor(now / stepMs) + away);
  return near.find((step) => totp(secret, (step * stepMs) as Instant) === code) ?? null;
}

function moveOn(context: Context, id: string, visit: LoginVisit, fault: FaultSpec | null): Reply {
  remember(context, id, visit);
  return show(context, id, visit, fault, null);
}

function show(
  context: Context,
  id: string,
  visit: LoginVisit,
  fault: FaultSpec | null,
  problem: string | null,
  username = '',
): Reply {
  const { form } = context.upstream;
  const options: PageOptions = {
    action: `${form.paths.authorize}/${id}`,
    providerName: form.name,
    appName: visit.app.name,
    problem,
    isChanged: fault?.fault === 'login-page-changed',
  };
  const page = pageOf(visit, options, fault, username);
  return fault ? spoil(page, fault) : page;
}

function pageOf(visit: LoginVisit, options: PageOptions, fault: FaultSpec | null, username: string): Reply {
  if (fault?.fault === 'captcha-on-login') return captchaPage(options);
  if (visit.at === 'sign-in') return loginPage(options, username);
  if (visit.at === 'verification') return totpPage(options);
  const choices = choicesOf(visit, visit.user);
  const isScopes = visit.scope.length > 0;
  const legend = isScopes ? 'What it may do' : 'Companies it may reach';
  return consentPage({ ...options, userName: visit.user.fullName, legend, choices, redirectUri: visit.redirectUri });
}

/** What the user may leave out: scopes where there are any, else companies. */
function choicesOf({ scope }: AuthorizationRequest, user: User): ConsentOptions['choices'] {
  if (scope.length > 0) return scope.map((name) => ({ field: `scope-${name}`, value: name, label: name }));
  return [
    { name: 'Emulated Books', code: user.division },
    { name: 'Emulated Trading', code: user.division + 1 },
  ].map(({ name, code }) => ({ field: `division-${code}`, value: String(code), label: `${name} (${code})` }));
}

/** A form without any of the boxes comes from a program that does not know them: nothing is left out. */
function unticked(visit: AuthorizationRequest, user: User, fields: ReadonlyMap<string, string>): readonly string[] {
  const choices = choicesOf(visit, user);
  const left = choices.filter(({ field }) => !fields.has(field));
  return left.length === choices.length ? [] : left.map(({ value }) => value);
}

/** Faults of the sign-in pages; those that change the user take effect at once. */
function takeLoginFault({ faults, upstream }: Context, visit: LoginVisit, user?: User): FaultSpec | null {
  const fault = faults.take({ endpoint: 'login', user: user?.username ?? null, app: visit.app.clientId });
  const { accounts, chance } = upstream;
  const target = user ?? [...accounts.users.values()][0];
  if (fault?.fault === 'user-password-changed' && target) target.password = chance.text('password', 16);
  if (fault?.fault === 'totp-reset' && target) accounts.resetTotp(target);
  return fault;
}

function deny(context: Context, request: AuthorizationRequest, user: User): Reply {
  record(context, 'authorize', { app: request.app.clientId, user, decision: 'denied' });
  if (request.device) {
    request.device.state = 'denied';
    return doneInBrowserPage(context.upstream.form.name, false);
  }
  return back(request, { error: 'access_denied' });
}

function conclude(context: Context, request: AuthorizationRequest, user: User, withheld: readonly string[]): Reply {
  const { app, redirectUri, challenge, isOffline, nonce, realm } = request;
  const scope = request.scope.filter((one) => !withheld.includes(one));
  const decision = withheld.length === 0 ? 'approved' : 'approved in part';
  const allowed = { client: app.clientId, user: user.id, scope, withheld, isOffline, nonce, realm };
  if (request.device) {
    request.device.state = allowed;
    record(context, 'authorize', { app: app.clientId, user, decision, status: 200 });
    return doneInBrowserPage(context.upstream.form.name, true);
  }
  if (redirectUri === null) throw new Error('an authorization goes back to an address or to a device');
  if (request.responseType === 'token') return implicit(context, request, allowed, decision);
  const code = context.upstream.issueCode({ ...allowed, redirectUri, challenge }, context.now());
  record(context, 'authorize', { app: app.clientId, user, decision, issued: code.text });
  return back(request, { code: code.text });
}

/** RFC 6749 section 4.2: the access token comes back in the fragment, and there is no refresh token. */
function implicit(context: Context, request: AuthorizationRequest, allowed: Allowed, decision: string): Reply {
  const { upstream } = context;
  const outcome = upstream.start(allowed, context.now());
  if (!outcome.ok) return back(request, { error: 'server_error' });
  const { accessToken } = outcome.issued;
  const user = upstream.accounts.userById(allowed.user);
  record(context, 'authorize', { app: allowed.client, user, decision, issued: accessToken.id });
  const expiresIn = Math.floor((upstream.policy.life.accessTokenMs ?? 0) / 1000);
  const parameters = {
    access_token: accessToken.text,
    token_type: 'bearer',
    expires_in: String(expiresIn),
    id_token: idToken(context, request, outcome.issued, expiresIn),
  };
  return back(request, parameters);
}

/** URLSearchParams percent-encodes the `!` of a code, as Exact Online does. */
function back(request: AuthorizationRequest, parameters: Record<string, string | null>): Reply {
  const url = new URL(request.redirectUri ?? request.origin);
  const all = Object.entries({ ...parameters, state: request.state, iss: request.iss }).filter(
    (entry): entry is [string, string] => entry[1] !== null,
  );
  if (request.responseType === 'token') url.hash = String(new URLSearchParams(all));
  else for (const [name, value] of all) url.searchParams.append(name, value);
  return redirect(url.href);
}

function record(
  context: Context,
  endpoint: 'authorize' | 'login',
  what: {
    readonly app: string | null;
    readonly user?: User | undefined;
    readonly decision: string;
    readonly reason?: string;
    readonly issued?: Presented;
    readonly fault?: FaultSpec | null;
    readonly status?: number;
  },
): void {
  context.ledger.add({
    at: context.now(),
    endpoint,
    method: endpoint === 'login' ? 'POST' : 'GET',
    path: context.upstream.form.paths.authorize,
    app: what.app,
    user: what.user?.username ?? null,
    presented: null,
    issued: what.issued ?? null,
    issuedAccess: null,
    decision: what.decision,
    reason: what.reason ?? null,
    fault: what.fault?.fault ?? null,
    status: what.status ?? (/^(approved|denied)/.test(what.decision) ? 302 : 200),
  });
}
