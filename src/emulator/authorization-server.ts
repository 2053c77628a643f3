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
import { fingerprint } from './chance.ts';
import type { Context } from './context.ts';
import { type FaultSpec, spoil, strikesBefore } from './faults.ts';
import {
  type ConsentOptions,
  captchaPage,
  consentPage,
  errorPage,
  loginPage,
  type PageOptions,
  totpPage,
} from './login-page.ts';
import type { App, User } from './upstream.ts';
import { answer, type EmulatorAnswer, type EmulatorRequest, formOf, redirect, urlOf } from './wire.ts';

interface AuthorizationRequest {
  readonly app: App;
  readonly redirectUri: string;
  readonly state: string | null;
  readonly challenge: string | null;
}

export type LoginVisit = AuthorizationRequest &
  (
    | { readonly at: 'sign-in' }
    | { readonly at: 'verification'; readonly user: User }
    | { readonly at: 'consent'; readonly user: User }
  );

/** Loopback addresses with this path are redirect URIs of every app, on any port: this is a server for tests. */
const LOOPBACK_CALLBACK = /^http:\/\/(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?\/callback$/;

export async function authorizeEndpoint(context: Context, request: EmulatorRequest): Promise<EmulatorAnswer> {
  const url = urlOf(request);
  const { paths } = context.upstream.form;
  const visit = url.pathname.slice(paths.authorize.length + 1);
  if (visit !== '') return continueVisit(context, request, visit);
  if (request.method !== 'GET') return answer(405, { allow: 'GET' });
  const fault = context.faults.take({ endpoint: 'authorize', user: null, app: url.searchParams.get('client_id') });
  const given = fault && strikesBefore(fault) ? answer(200, {}) : begin(context, url, fault);
  if (fault?.fault === 'delay') await context.sleep(fault.ms ?? 1000);
  return fault ? spoil(given, fault, null) : given;
}

function begin(context: Context, url: URL, fault: FaultSpec | null): EmulatorAnswer {
  const checked = check(context, url.searchParams);
  if (!('request' in checked)) {
    record(context, 'authorize', {
      app: url.searchParams.get('client_id'),
      decision: 'refused',
      reason: checked.reason,
      fault,
      status: checked.answer.status,
    });
    return checked.answer;
  }
  const decided = preselected(context, checked.request);
  if (decided) return decided;
  const id = context.upstream.chance.text('visit', 32);
  const visit: LoginVisit = { ...checked.request, at: 'sign-in' };
  context.visits.set(id, visit);
  const loginFault = takeLoginFault(context, visit);
  record(context, 'authorize', { app: visit.app.clientId, decision: 'sign-in', fault: fault ?? loginFault });
  return show(context, id, visit, loginFault, null);
}

type Checked =
  | { readonly request: AuthorizationRequest }
  | { readonly answer: EmulatorAnswer; readonly reason: string };

/** Before the app and its address are known to be right, nothing may be sent to that address. */
function check({ upstream }: Context, query: URLSearchParams): Checked {
  const wrong = (reason: string, text: string): Checked => ({
    answer: errorPage(upstream.form.name, 'This link does not work', text),
    reason,
  });
  if (new Set(query.keys()).size !== query.size) return wrong('malformed', 'A parameter comes twice.');
  const app = upstream.apps.get(query.get('client_id') ?? '');
  if (!app) return wrong('client-unknown', 'No app is registered under this client_id.');
  const redirectUri = query.get('redirect_uri') ?? '';
  const isRegistered = app.redirectUris.includes(redirectUri) || LOOPBACK_CALLBACK.test(redirectUri);
  if (!isRegistered || !URL.canParse(redirectUri)) {
    return wrong('redirect-uri-mismatch', 'The redirect_uri is not one that was registered for this app.');
  }
  const state = query.get('state');
  const fail = (error: string): Checked => ({ answer: back(redirectUri, { error, state }), reason: error });
  if (query.get('response_type') !== 'code') return fail('unsupported_response_type');
  const challenge = query.get('code_challenge');
  if (challenge !== null && query.get('code_challenge_method') !== 'S256') return fail('invalid_request');
  return { request: { app, redirectUri, state, challenge } };
}

/** A test chose the outcome beforehand: no pages. */
function preselected(context: Context, request: AuthorizationRequest): EmulatorAnswer | null {
  const { preselection, upstream } = context;
  if (preselection.decision === 'interactive') return null;
  const first = [...upstream.users.values()][0];
  const user = preselection.user === null ? first : upstream.users.get(preselection.user.toLowerCase());
  if (preselection.once) context.preselection = { decision: 'interactive' };
  if (!user) return null;
  return conclude(context, request, user, preselection.decision);
}

function continueVisit(context: Context, request: EmulatorRequest, id: string): EmulatorAnswer {
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
      return conclude(context, visit, visit.user, fields.get('decision') === 'approve' ? 'approve' : 'deny');
  }
}

function signIn(context: Context, id: string, visit: LoginVisit, fields: ReadonlyMap<string, string>): EmulatorAnswer {
  const username = (fields.get('username') ?? fields.get('account') ?? '').trim();
  const password = fields.get('password') ?? fields.get('secret') ?? '';
  const user = context.upstream.users.get(username.toLowerCase());
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
): EmulatorAnswer {
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

function moveOn(context: Context, id: string, visit: LoginVisit, fault: FaultSpec | null): EmulatorAnswer {
  context.visits.set(id, visit);
  return show(context, id, visit, fault, null);
}

function show(
  context: Context,
  id: string,
  visit: LoginVisit,
  fault: FaultSpec | null,
  problem: string | null,
  username = '',
): EmulatorAnswer {
  const { form } = context.upstream;
  const options: PageOptions = {
    action: `${form.paths.authorize}/${id}`,
    providerName: form.name,
    appName: visit.app.name,
    problem,
    isChanged: fault?.fault === 'login-page-changed',
  };
  const page = pageOf(visit, options, fault, username);
  return fault ? spoil(page, fault, null) : page;
}

function pageOf(visit: LoginVisit, options: PageOptions, fault: FaultSpec | null, username: string): EmulatorAnswer {
  if (fault?.fault === 'captcha-on-login') return captchaPage(options);
  if (visit.at === 'sign-in') return loginPage(options, username);
  return visit.at === 'verification' ? totpPage(options) : consentPage(consentOptions(options, visit, visit.user));
}

function consentOptions(options: PageOptions, visit: LoginVisit, user: User): ConsentOptions {
  const divisions = [
    { code: user.division, name: 'Emulated Books' },
    { code: user.division + 1, name: 'Emulated Trading' },
  ];
  return { ...options, userName: user.fullName, divisions, redirectUri: visit.redirectUri };
}

/** Faults of the sign-in pages; those that change the user take effect at once. */
function takeLoginFault({ faults, upstream }: Context, visit: LoginVisit, user?: User): FaultSpec | null {
  const fault = faults.take({ endpoint: 'login', user: user?.username ?? null, app: visit.app.clientId });
  const target = user ?? [...upstream.users.values()][0];
  if (fault?.fault === 'user-password-changed' && target) target.password = upstream.chance.text('password', 16);
  if (fault?.fault === 'totp-reset' && target) upstream.resetTotp(target);
  return fault;
}

function conclude(
  context: Context,
  request: AuthorizationRequest,
  user: User,
  decision: 'approve' | 'deny',
): EmulatorAnswer {
  const { app, redirectUri, state, challenge } = request;
  if (decision === 'deny') {
    record(context, 'authorize', { app: app.clientId, user, decision: 'denied' });
    return back(redirectUri, { error: 'access_denied', state });
  }
  const issue = { client: app.clientId, user: user.id, redirectUri, challenge };
  const code = context.upstream.issueCode(issue, context.now());
  record(context, 'authorize', { app: app.clientId, user, decision: 'approved', issued: [fingerprint(code.text)] });
  return back(redirectUri, { code: code.text, state });
}

/** URLSearchParams percent-encodes the `!` of a code, as Exact Online does. */
function back(redirectUri: string, parameters: Record<string, string | null>): EmulatorAnswer {
  const url = new URL(redirectUri);
  for (const [name, value] of Object.entries(parameters)) if (value !== null) url.searchParams.append(name, value);
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
    readonly issued?: readonly string[];
    readonly fault?: FaultSpec | null;
    readonly status?: number;
  },
): void {
  context.ledger.add(context.now(), {
    endpoint,
    method: endpoint === 'login' ? 'POST' : 'GET',
    path: context.upstream.form.paths.authorize,
    app: what.app,
    user: what.user?.username ?? null,
    presented: [],
    issued: what.issued ?? [],
    decision: what.decision,
    reason: what.reason ?? null,
    fault: what.fault?.fault ?? null,
    status: what.status ?? (what.decision === 'approved' || what.decision === 'denied' ? 302 : 200),
  });
}
