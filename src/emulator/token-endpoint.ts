/** `POST` to the token endpoint (RFC 6749 sections 3.2, 4.1.3 and 6): checks, exchange, wording, and faults on the way. */
import { createHash } from 'node:crypto';
import { after } from '../core/instant.ts';
import type { App } from './accounts.ts';
import { authenticate } from './client-authentication.ts';
import { type Context, tell } from './context.ts';
import { redeemDevice } from './device.ts';
import { directGrantOf, directly } from './direct-grants.ts';
import { type FaultSpec, isAnswerLost, spoil, strikesBefore } from './faults.ts';
import type { TokenRefusal } from './form.ts';
import type { ChainPlace } from './happening.ts';
import type { Presented } from './register.ts';
import { DEVICE_GRANT, readTokenRequest, type TokenRequest } from './token-request.ts';
import { type Issued, type Outcome, refused } from './upstream.ts';
import { answer, type Reply, type EmulatorRequest, json } from './wire.ts';

interface Processed {
  /** Null where nobody but an app itself is concerned, or nothing was done. */
  readonly outcome: Outcome | null;
  readonly answer: Reply;
}

export function tokenEndpoint(context: Context, request: EmulatorRequest): Reply {
  if (request.method !== 'POST') return answer(405, { allow: 'POST' });
  const { upstream } = context;
  const realm = upstream.form.realm(request.headers.host ?? '', upstream.switches);
  const parsed = readTokenRequest(upstream, request, realm);
  const presented = parsed?.presented ?? null;
  const user = ownerOf(context, presented)?.username ?? null;
  const app = upstream.accounts.apps.get(parsed?.clientId ?? '')?.clientId ?? parsed?.clientId ?? null;
  const fault = context.faults.take({ endpoint: 'token', user, app });
  const processed = answerWithFault(context, parsed, fault);
  const { outcome, answer: given } = processed;
  noteIncident(context, parsed, outcome, fault);
  const issued = outcome?.ok ? outcome.issued : null;
  context.ledger.add({
    at: context.now(),
    endpoint: 'token',
    method: request.method,
    path: upstream.form.paths.token,
    app,
    user,
    presented,
    issued: issued?.refreshToken?.id ?? null,
    issuedAccess: issued?.accessToken.id ?? null,
    decision: decisionOf(outcome, fault),
    reason: outcome && !outcome.ok ? outcome.reason : null,
    fault: fault?.fault ?? null,
    status: given.delivery.kind === 'none' || given.delivery.kind === 'hang' ? null : given.status,
  });
  return given;
}

function ownerOf({ upstream }: Context, presented: Presented | null) {
  return presented === null ? null : upstream.ownerOf(presented);
}

function decisionOf(outcome: Outcome | null, fault: FaultSpec | null): string {
  if (outcome === null) return fault && strikesBefore(fault) ? 'not processed' : 'the app for itself';
  return outcome.ok ? outcome.answer : 'refused';
}

/** Refusals that say nothing about the token: another moment, secret or request would not meet them. */
const PASSING: ReadonlySet<TokenRefusal> = new Set([
  'too-early',
  'quota',
  'too-many-errors',
  'client-unknown',
  'client-secret-wrong',
  'token-of-another-client',
  'scope-too-wide',
  'assertion-missing',
  'assertion-malformed',
  'assertion-signature-wrong',
  'assertion-of-another-client',
  'assertion-audience-wrong',
  'assertion-expired',
  'assertion-replayed',
]);

function noteIncident(
  context: Context,
  parsed: TokenRequest | null,
  outcome: Outcome | null,
  fault: FaultSpec | null,
): void {
  const { incidents } = context;
  if (!outcome) return;
  if (outcome.ok) {
    const { refreshToken, family } = outcome.issued;
    incidents.forget(family.id);
    if (fault && refreshToken !== null) incidents.strike(refreshToken.id, fault.fault);
    return;
  }
  const isExchange = parsed?.fields.get('grant_type') === 'refresh_token';
  if (!isExchange || parsed.presented === null || PASSING.has(outcome.reason)) return;
  incidents.add(outcome.family?.id ?? null, { at: context.now(), token: parsed.presented, reason: outcome.reason });
}

function answerWithFault(context: Context, parsed: TokenRequest | null, fault: FaultSpec | null): Processed {
  if (!fault) return process(context, parsed);
  const { members } = context.upstream.form;
  if (strikesBefore(fault)) {
    const chain = refusal(context, 'unknown', parsed);
    return { outcome: null, answer: spoil(chain, fault, { presented: null, members }) };
  }
  strikeServer(context, parsed, fault);
  const presented = parsed?.presented ?? null;
  const issuedBefore = presented === null ? null : (context.upstream.familyOf(presented)?.lastIssuedAt ?? null);
  const processed = processOnceOrTwice(context, parsed, fault);
  afterwards(context, processed.outcome, fault, issuedBefore);
  const text = presented === null ? null : context.upstream.textOf(presented);
  const spoiled = spoil(processed.answer, fault, { presented: text, members });
  return { outcome: processed.outcome, answer: spoiled };
}

/** Faults that change the server before it looks at the request. */
function strikeServer(context: Context, parsed: TokenRequest | null, fault: FaultSpec): void {
  const { upstream } = context;
  const owner = ownerOf(context, parsed?.presented ?? null);
  const app = upstream.accounts.apps.get(parsed?.clientId ?? '');
  if (fault.fault === 'secret-rotated' && app) app.clientSecret = upstream.chance.text('client secret', 16);
  if (fault.fault === 'clock-skew') context.skewMs = fault.ms ?? 60_000;
  if (!owner) return;
  if (fault.fault === 'chain-reset') upstream.revoke(owner, 'chain-reset', context.now());
  if (fault.fault === 'consent-revoked') upstream.revoke(owner, 'revoked', context.now());
}

function processOnceOrTwice(context: Context, parsed: TokenRequest | null, fault: FaultSpec): Processed {
  const first = process(context, parsed);
  if (fault.fault !== 'duplicate-delivery') return first;
  const second = process(context, parsed);
  return fault.deliver === 'first' ? first : second;
}

/** Faults that change the server once tokens were issued. */
function afterwards(
  context: Context,
  outcome: Outcome | null,
  fault: FaultSpec,
  issuedBefore: Issued['family']['lastIssuedAt'] | null,
): void {
  if (!outcome?.ok) return;
  const { upstream } = context;
  const { refreshToken, family } = outcome.issued;
  if (fault.fault === 'dead-on-arrival' && refreshToken !== null) upstream.kill(refreshToken, context.now());
  if (isAnswerLost(fault) && upstream.switches.spacingCounts === 'delivered' && issuedBefore !== null) {
    upstream.forgetIssue(family.id, issuedBefore);
  }
}

/** The endpoint without faults. */
function process(context: Context, parsed: TokenRequest | null): Processed {
  const outcome = decide(context, parsed);
  if (outcome === 'the app itself') return { outcome: null, answer: managerAnswer(context) };
  tellOf(context, parsed, outcome);
  if (!outcome.ok) return { outcome, answer: refusal(context, outcome.reason, parsed, outcome.endedAt) };
  return { outcome, answer: success(context, parsed, outcome) };
}

function success(context: Context, parsed: TokenRequest | null, outcome: Outcome & { ok: true }): Reply {
  const { policy, form } = context.upstream;
  const { issued, answer: kind } = outcome;
  const isNamed = kind === 'authorized' || form.namesRefreshToken(kind !== 'same');
  const asked = parsed?.fields.get('scope')?.split(form.scope.separator);
  const expiresInSeconds = Math.floor((policy.life.accessTokenMs ?? 0) / 1000);
  return form.tokenAnswer({
    accessToken: issued.accessToken.text,
    refreshToken: isNamed && issued.refreshToken ? issued.refreshToken.text : null,
    idToken: idToken(context, parsed, issued, expiresInSeconds),
    expiresInSeconds,
    expiresAt: after(context.now(), expiresInSeconds * 1000),
    scope: kind === 'authorized' ? issued.allowed.scope : (asked ?? issued.allowed.scope),
  });
}

export function idToken(
  context: Context,
  parsed: Pick<TokenRequest, 'origin'> | null,
  { allowed }: Issued,
  lifeSeconds: number,
): string | null {
  const { openId } = context.upstream.form;
  if (!openId || !parsed || !allowed.scope.includes('openid')) return null;
  const user = context.upstream.accounts.userById(allowed.user);
  if (!user) return null;
  const issuer = `${parsed.origin}${openId.issuerPath}`;
  const { client, nonce } = allowed;
  return context.idTokens.sign({ issuer, client, user, nonce, now: context.now(), lifeSeconds });
}

/** RFC 8628 section 3.5: the same everywhere. */
const DEVICE_ERRORS: Readonly<Partial<Record<TokenRefusal, string>>> = {
  'device-pending': 'authorization_pending',
  'device-too-fast': 'slow_down',
  'device-denied': 'access_denied',
  'device-expired': 'expired_token',
  'device-unknown': 'invalid_grant',
};

function refusal(
  context: Context,
  reason: TokenRefusal,
  parsed: TokenRequest | null,
  endedAt: (Outcome & { ok: false })['endedAt'] = null,
): Reply {
  const { form, switches } = context.upstream;
  const onTheWire = DEVICE_ERRORS[reason];
  if (onTheWire) return json(400, { error: onTheWire });
  const told = onTheWireAs(reason);
  return form.refusal(told, { now: context.now(), endedAt, basic: parsed?.basic ?? false }, switches);
}

/** What is told apart within, and is one on the wire. */
function onTheWireAs(reason: TokenRefusal): TokenRefusal {
  if (reason.startsWith('assertion-')) return 'client-secret-wrong';
  if (reason === 'password-wrong' || reason.startsWith('grant-')) return 'code-unknown';
  return reason === 'client-is-public' ? 'unsupported-grant-type' : reason;
}

function decide(context: Context, parsed: TokenRequest | null): Outcome | 'the app itself' {
  if (!parsed) return refused('malformed');
  const { form } = context.upstream;
  const direct = directGrantOf(parsed);
  if (direct === 'jwt_bearer' && isUnproved(parsed)) return directly(context, parsed, direct, null);
  const who = authenticate(context, parsed);
  if (!who.app) return refused(who.reason);
  const { app, isPublic } = who;
  if (parsed.fields.get('grant_type') === 'client_credentials' && form.own && !isPublic) return 'the app itself';
  if (direct) return directly(context, parsed, direct, who);
  const owner = ownerOf(context, parsed.presented);
  return owner ? withinLimits(context, parsed, app, owner.user) : grant(context, parsed, app, 0);
}

/** An assertion that is a grant needs no other proof of who asks (RFC 7523 section 3.1). */
function isUnproved({ clientId, clientSecret, assertion }: TokenRequest): boolean {
  return clientId === null && clientSecret === null && assertion === null;
}

const MANAGER_LIFE_S = 86_400;

/** RFC 6749 section 4.4: for the provider's own management pages. */
function managerAnswer(context: Context): Reply {
  const { upstream, managers } = context;
  const accessToken = upstream.chance.text('management token', 43);
  const expiresAt = after(context.now(), MANAGER_LIFE_S * 1000);
  managers.set(accessToken, expiresAt);
  const nothing = { refreshToken: null, idToken: null, scope: [] };
  return upstream.form.tokenAnswer({ ...nothing, accessToken, expiresAt, expiresInSeconds: MANAGER_LIFE_S });
}

/** Calls and errors are counted for each app and user. */
function withinLimits(context: Context, parsed: TokenRequest, app: App, user: string): Outcome {
  const { tokenCalls, upstream } = context;
  const now = context.now();
  const counted = { app: app.clientId, of: user };
  if (tokenCalls.isBlocked(counted, now)) return refused('too-many-errors');
  const callsToday = tokenCalls.add('day', counted, now) - 1;
  const outcome = grant(context, parsed, app, callsToday);
  if (!outcome.ok) tokenCalls.error(counted, upstream.switches.errorsPerHour, now);
  return outcome;
}

function grant(context: Context, parsed: TokenRequest, app: App, callsToday: number): Outcome {
  const { upstream } = context;
  switch (parsed.fields.get('grant_type')) {
    case 'refresh_token':
      return refresh(context, parsed, app, callsToday);
    case 'authorization_code':
      if (callsToday >= upstream.policy.pacing.perDay) return refused('quota');
      return redeem(context, parsed, app);
    case DEVICE_GRANT:
      if (upstream.form.paths.device === null) return refused('unsupported-grant-type');
      if (parsed.presented === null) return refused('malformed');
      return redeemDevice(context, upstream.textOf(parsed.presented), app.clientId, context.now());
    case undefined:
      return refused('malformed');
    default:
      return refused('unsupported-grant-type');
  }
}

function refresh(context: Context, parsed: TokenRequest, app: App, callsToday: number): Outcome {
  const { upstream } = context;
  const { presented, realm, fields } = parsed;
  if (presented === null) return refused('malformed');
  const scope = fields.get('scope');
  const family = scope === undefined ? null : upstream.familyOf(presented);
  const allowed = family && upstream.allowedTo(presented)?.scope;
  // RFC 6749 section 6: no scope that was not allowed before.
  const asked = scope?.split(upstream.form.scope.separator) ?? [];
  if (allowed && allowed.length > 0 && asked.some((one) => one !== '' && !allowed.includes(one))) {
    return refused('scope-too-wide', { family });
  }
  return upstream.refresh(presented, { client: app.clientId, realm, callsToday, now: context.now() });
}

function redeem(context: Context, parsed: TokenRequest, app: App): Outcome {
  const { upstream } = context;
  const redirectUri = parsed.fields.get('redirect_uri');
  if (parsed.presented === null || redirectUri === undefined) return refused('malformed');
  const code = upstream.codes.get(upstream.textOf(parsed.presented));
  if (!code || code.realm !== parsed.realm) return refused('code-unknown');
  if (code.client !== app.clientId) return refused('code-of-another-client');
  if (code.redirectUri !== redirectUri) return refused('redirect-uri-mismatch');
  const verifier = parsed.fields.get('code_verifier');
  if (code.challenge !== null && code.challenge !== challengeOf(verifier ?? '')) return refused('verifier-mismatch');
  return upstream.redeem(code, context.now());
}

/** RFC 7636 section 4.6. */
const challengeOf = (verifier: string) => createHash('sha256').update(verifier).digest('base64url');

/** What the provider's own log may say of it, where there is one. */
function tellOf(context: Context, parsed: TokenRequest | null, outcome: Outcome): void {
  if (!context.upstream.form.own) return;
  const family = outcome.ok ? outcome.issued.family : outcome.family;
  const who = { at: context.now(), client: parsed?.clientId ?? '', user: family?.user ?? '' };
  const isExchange = parsed?.fields.get('grant_type') === 'refresh_token';
  if (outcome.ok) {
    const { refreshToken, family: chain, allowed } = outcome.issued;
    const what = isExchange ? 'exchanged' : 'authorized';
    tell(context, { ...who, what, chain: placeOf(chain, refreshToken?.id ?? null), scope: allowed.scope });
    if (outcome.evicted.removed > 0) tell(context, { ...who, what: 'evicted', ...outcome.evicted });
    return;
  }
  const { reason, isBreach } = outcome;
  if (reason === 'client-unknown' || reason === 'client-secret-wrong' || reason.startsWith('assertion-')) {
    tell(context, { ...who, what: 'client-refused', reason });
    return;
  }
  if (!isExchange) {
    tell(context, { ...who, what: 'code-refused', reason });
    return;
  }
  const chain = family && placeOf(family, parsed.presented);
  if (isBreach && chain) tell(context, { ...who, what: 'reuse', chain });
  else tell(context, { ...who, what: 'exchange-refused', reason, chain });
}

function placeOf(family: Issued['family'], token: Presented | null): ChainPlace {
  const generation = family.tokens.find((one) => one.id === String(token))?.generation ?? family.latestGeneration;
  return { family: family.id, counter: generation + 1, latest: family.latestGeneration + 1 };
}
