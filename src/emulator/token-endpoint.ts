/** `POST` to the token endpoint (RFC 6749 sections 3.2, 4.1.3 and 6): checks, exchange, wording, and faults on the way. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { fingerprint } from './chance.ts';
import type { Context } from './context.ts';
import { type FaultSpec, spoil, strikesBefore } from './faults.ts';
import type { TokenRefusal } from './form.ts';
import type { App, Outcome } from './upstream.ts';
import { answer, type EmulatorAnswer, type EmulatorRequest, formOf } from './wire.ts';

/** A request to the token endpoint, as far as it could be read. */
interface TokenRequest {
  readonly fields: ReadonlyMap<string, string>;
  readonly basic: boolean;
  readonly clientId: string | null;
  readonly clientSecret: string | null;
  /** The code or refresh token. */
  readonly presented: string | null;
}

interface Processed {
  readonly outcome: Outcome;
  readonly answer: EmulatorAnswer;
}

export async function tokenEndpoint(context: Context, request: EmulatorRequest): Promise<EmulatorAnswer> {
  if (request.method !== 'POST') return answer(405, { allow: 'POST' });
  const parsed = parse(request);
  const owner = parsed?.presented ? context.upstream.ownerOf(parsed.presented) : null;
  const user = (owner && context.upstream.userById(owner.user)?.username) ?? null;
  const app = parsed?.clientId ?? null;
  const fault = context.faults.take({ endpoint: 'token', user, app });
  const { outcome, answer: given } = await answerWithFault(context, parsed, fault);
  context.ledger.add(context.now(), {
    endpoint: 'token',
    method: request.method,
    path: context.upstream.form.paths.token,
    app,
    user,
    presented: parsed?.presented ? [fingerprint(parsed.presented)] : [],
    issued: outcome?.ok ? [fingerprint(outcome.issued.refreshToken), fingerprint(outcome.issued.accessToken)] : [],
    decision: outcome === null ? 'not processed' : outcome.ok ? outcome.answer : 'refused',
    reason: outcome && !outcome.ok ? outcome.reason : null,
    fault: fault?.fault ?? null,
    status: given.delivery.kind === 'none' || given.delivery.kind === 'hang' ? null : given.status,
  });
  return given;
}

async function answerWithFault(
  context: Context,
  parsed: TokenRequest | null,
  fault: FaultSpec | null,
): Promise<{ outcome: Outcome | null; answer: EmulatorAnswer }> {
  if (!fault) return process(context, parsed);
  if (strikesBefore(fault)) {
    const chain = refusal(context, 'unknown', parsed);
    return { outcome: null, answer: spoil(chain, fault, null) };
  }
  strikeServer(context, parsed, fault);
  const before = issuesBefore(context);
  const processed = processOnceOrTwice(context, parsed, fault);
  afterwards(context, processed.outcome, fault, before);
  if (fault.fault === 'delay') await context.sleep(fault.ms ?? 1000);
  return { outcome: processed.outcome, answer: spoil(processed.answer, fault, parsed?.presented ?? null) };
}

/** Faults that change the server before it looks at the request. */
function strikeServer(context: Context, parsed: TokenRequest | null, fault: FaultSpec): void {
  const { upstream } = context;
  const owner = parsed?.presented ? upstream.ownerOf(parsed.presented) : null;
  const app = upstream.apps.get(parsed?.clientId ?? '');
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

const issuesBefore = ({ upstream }: Context) => new Map(upstream.families().map((one) => [one.id, one.lastIssuedAt]));

/** Faults that change the server once tokens were issued. */
function afterwards(
  context: Context,
  outcome: Outcome,
  { fault }: FaultSpec,
  before: ReturnType<typeof issuesBefore>,
): void {
  if (!outcome.ok) return;
  const { upstream } = context;
  if (fault === 'dead-on-arrival') upstream.kill(outcome.issued.refreshToken, context.now());
  const lastIssuedAt = before.get(outcome.issued.family);
  const isLost = fault === 'drop-after-commit' || fault === 'hang';
  if (isLost && upstream.switches.spacingCounts === 'delivered' && lastIssuedAt !== undefined) {
    upstream.forgetIssue(outcome.issued.family, lastIssuedAt);
  }
}

/** The endpoint without faults. */
function process(context: Context, parsed: TokenRequest | null): Processed {
  const outcome = decide(context, parsed);
  if (!outcome.ok) return { outcome, answer: refusal(context, outcome.reason, parsed, outcome.endedAt) };
  const { policy, form } = context.upstream;
  const expiresInSeconds = Math.floor((policy.life.accessTokenMs ?? 0) / 1000);
  return { outcome, answer: form.tokenAnswer({ ...outcome.issued, expiresInSeconds }) };
}

function refusal(
  context: Context,
  reason: TokenRefusal,
  parsed: TokenRequest | null,
  endedAt: (Outcome & { ok: false })['endedAt'] = null,
): EmulatorAnswer {
  const { form, switches } = context.upstream;
  return form.refusal(reason, { now: context.now(), endedAt, basic: parsed?.basic ?? false }, switches);
}

const no = (reason: TokenRefusal): Outcome => ({ ok: false, reason, endedAt: null });

function decide(context: Context, parsed: TokenRequest | null): Outcome {
  if (!parsed) return no('malformed');
  const app = context.upstream.apps.get(parsed.clientId ?? '');
  if (!app) return no('client-unknown');
  if (!equal(app.clientSecret, parsed.clientSecret ?? '')) return no('client-secret-wrong');
  const owner = parsed.presented ? context.upstream.ownerOf(parsed.presented) : null;
  return owner ? withinLimits(context, parsed, app, owner.user) : grant(context, parsed, app, 0);
}

/** Calls and errors are counted for each app and user. */
function withinLimits(context: Context, parsed: TokenRequest, app: App, user: string): Outcome {
  const { limits, upstream } = context;
  const now = context.now();
  const key = `token|${app.clientId}|${user}`;
  if (limits.isBlocked(key, now)) return no('too-many-errors');
  const callsToday = limits.add('day', key, now) - 1;
  const outcome = grant(context, parsed, app, callsToday);
  if (!outcome.ok) limits.error(key, upstream.switches.errorsPerHour, now);
  return outcome;
}

function grant(context: Context, parsed: TokenRequest, app: App, callsToday: number): Outcome {
  const { upstream } = context;
  switch (parsed.fields.get('grant_type')) {
    case 'refresh_token':
      if (!parsed.presented) return no('malformed');
      return upstream.refresh(parsed.presented, app.clientId, callsToday, context.now());
    case 'authorization_code':
      if (callsToday >= upstream.policy.pacing.perDay) return no('quota');
      return redeem(context, parsed, app);
    case undefined:
      return no('malformed');
    default:
      return no('unsupported-grant-type');
  }
}

function redeem(context: Context, parsed: TokenRequest, app: App): Outcome {
  const { upstream } = context;
  const redirectUri = parsed.fields.get('redirect_uri');
  if (!parsed.presented || redirectUri === undefined) return no('malformed');
  const code = upstream.codes.get(parsed.presented);
  if (!code) return no('code-unknown');
  if (code.client !== app.clientId) return no('code-of-another-client');
  if (code.redirectUri !== redirectUri) return no('redirect-uri-mismatch');
  if (code.challenge !== null && code.challenge !== challengeOf(parsed.fields.get('code_verifier') ?? '')) {
    return no('verifier-mismatch');
  }
  return upstream.redeem(code, context.now());
}

/** RFC 7636 section 4.6. */
const challengeOf = (verifier: string) => createHash('sha256').update(verifier).digest('base64url');

function equal(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

function parse(request: EmulatorRequest): TokenRequest | null {
  const fields = formOf(request);
  if (!fields) return null;
  const basic = basicOf(request);
  if (basic && fields.has('client_secret')) return null;
  return {
    fields,
    basic: basic !== null,
    clientId: basic?.id ?? fields.get('client_id') ?? null,
    clientSecret: basic?.secret ?? fields.get('client_secret') ?? null,
    presented: fields.get(fields.get('grant_type') === 'authorization_code' ? 'code' : 'refresh_token') ?? null,
  };
}

/** RFC 6749 section 2.3.1: both parts are form-encoded before they are joined. */
function basicOf(request: EmulatorRequest): { id: string; secret: string } | null {
  const text = /^Basic +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
  const parts = text === undefined ? null : /^([^:]*):(.*)$/.exec(Buffer.from(text, 'base64').toString());
  if (!parts) return null;
  const decode = (part = '') => new URLSearchParams(`v=${part}`).get('v') ?? '';
  return { id: decode(parts[1]), secret: decode(parts[2]) };
}
