/** The resource server: checks the access token, counts calls, and lets the form answer. */
import { fingerprint } from './chance.ts';
import { type Context, shownTime } from './context.ts';
import { spoil, strikesBefore } from './faults.ts';
import type { User } from './upstream.ts';
import { answer, bearerOf, type EmulatorAnswer, type EmulatorRequest, urlOf } from './wire.ts';

export async function apiEndpoint(context: Context, request: EmulatorRequest): Promise<EmulatorAnswer> {
  const { upstream } = context;
  const token = bearerOf(request);
  const owner = token === null ? null : upstream.ownerOf(token);
  const user = (owner && upstream.userById(owner.user)?.username) ?? null;
  const fault = context.faults.take({ endpoint: 'api', user, app: owner?.client ?? null });
  const isProcessed = !(fault && strikesBefore(fault));
  const { decision, reason, given } = isProcessed
    ? decide(context, request, token)
    : { decision: 'not processed', reason: null, given: answer(200, {}) };
  if (fault?.fault === 'delay') await context.sleep(fault.ms ?? 1000);
  const delivered = fault ? spoil(given, fault, null) : given;
  context.ledger.add(context.now(), {
    endpoint: 'api',
    method: request.method,
    path: urlOf(request).pathname,
    app: owner?.client ?? null,
    user,
    presented: token === null ? [] : [fingerprint(token)],
    issued: [],
    decision,
    reason,
    fault: fault?.fault ?? null,
    status: delivered.delivery.kind === 'none' || delivered.delivery.kind === 'hang' ? null : delivered.status,
  });
  return delivered;
}

function decide(context: Context, request: EmulatorRequest, token: string | null) {
  const { upstream } = context;
  if (token === null) return refuse(context, 'missing');
  const use = upstream.useAccessToken(token, context.now());
  if (!use.ok) return refuse(context, use.reason);
  const over = overLimit(context, use.client, use.user);
  if (over) return { decision: 'refused', reason: 'limit', given: over };
  const headers = rateHeaders(context, use.client, use.user);
  const given = upstream.form.api(request, use.user, shownTime(context));
  const decision = use.activated ? 'accepted, activates its refresh token' : 'accepted';
  return { decision, reason: null, given: { ...given, headers: { ...given.headers, ...headers } } };
}

function refuse({ upstream }: Context, reason: 'missing' | 'unknown' | 'expired' | 'revoked') {
  return { decision: 'refused', reason, given: upstream.form.apiRefusal(reason) };
}

/** Limits are by app and company (division). */
const keyOf = (client: string, user: User) => `api|${client}|${user.division}`;

/** Counts this call; beyond a limit 429 with the headers of that limit alone, and no body. */
function overLimit(context: Context, client: string, user: User): EmulatorAnswer | null {
  const { limits, upstream } = context;
  const key = keyOf(client, user);
  const now = context.now();
  if (limits.count('minute', key, now) >= upstream.switches.apiCallsPerMinute) {
    return answer(429, minutely(context, key));
  }
  if (limits.count('day', key, now) >= upstream.switches.apiCallsPerDay) return answer(429, daily(context, key));
  limits.add('minute', key, now);
  limits.add('day', key, now);
  return null;
}

function rateHeaders(context: Context, client: string, user: User): Record<string, string> {
  const key = keyOf(client, user);
  return { ...daily(context, key), ...minutely(context, key) };
}

/** Reset is in milliseconds since the epoch. */
function daily(context: Context, key: string): Record<string, string> {
  const { limits, upstream } = context;
  const now = context.now();
  const limit = upstream.switches.apiCallsPerDay;
  return {
    'x-ratelimit-limit': String(limit),
    'x-ratelimit-remaining': String(Math.max(0, limit - limits.count('day', key, now))),
    'x-ratelimit-reset': String(limits.resetsAt('day', now)),
  };
}

function minutely(context: Context, key: string): Record<string, string> {
  const { limits, upstream } = context;
  const now = context.now();
  const limit = upstream.switches.apiCallsPerMinute;
  return {
    'x-ratelimit-minutely-limit': String(limit),
    'x-ratelimit-minutely-remaining': String(Math.max(0, limit - limits.count('minute', key, now))),
    'x-ratelimit-minutely-reset': String(limits.resetsAt('minute', now)),
  };
}
