/** The resource server: checks the access token, counts calls, and lets the form answer. */
import { type Context, shownTime } from './context.ts';
import { spoil, strikesBefore } from './faults.ts';
import type { Access, ApiRefusal } from './form.ts';
import { claimsOf } from './id-tokens.ts';
import type { Counted } from './limits.ts';
import type { Presented } from './register.ts';
import { answer, bearerOf, type Reply, type EmulatorRequest, json, pathOf } from './wire.ts';

export function apiEndpoint(context: Context, request: EmulatorRequest): Reply {
  const { upstream } = context;
  const token = bearerOf(request);
  const presented = token === null ? null : upstream.presented(token);
  const owner = presented === null ? null : upstream.ownerOf(presented);
  const user = owner?.username ?? null;
  const fault = context.faults.take({ endpoint: 'api', user, app: owner?.client ?? null });
  const isProcessed = !(fault && strikesBefore(fault));
  const { decision, reason, given } = isProcessed
    ? decide(context, request, presented)
    : { decision: 'not processed', reason: null, given: answer(200, {}) };
  const delivered = fault ? spoil(given, fault) : given;
  context.ledger.add({
    at: context.now(),
    endpoint: 'api',
    method: request.method,
    path: pathOf(request),
    app: owner?.client ?? null,
    user,
    presented,
    issued: null,
    issuedAccess: null,
    decision,
    reason,
    fault: fault?.fault ?? null,
    status: delivered.delivery.kind === 'none' || delivered.delivery.kind === 'hang' ? null : delivered.status,
  });
  return delivered;
}

function decide(context: Context, request: EmulatorRequest, token: Presented | null) {
  const { upstream } = context;
  if (token === null) return refuse(context, 'missing');
  const realm = upstream.form.realm(request.headers.host ?? '', upstream.switches);
  const use = upstream.useAccessToken(token, realm, context.now());
  if (!use.ok) return refuse(context, use.reason);
  const { user, allowed } = use;
  // The company that the path names, where it names one.
  const named = /^\/api\/v1\/(\d+)\//.exec(pathOf(request))?.[1];
  const counted = { app: allowed.client, of: named ?? String(user.division) };
  const over = overLimit(context, counted);
  if (over) return { decision: 'refused', reason: 'limit', given: over };
  const headers = { ...daily(context, counted), ...minutely(context, counted) };
  const { client, scope, withheld } = allowed;
  const given = answerOf(context, request, { user, client, scope, withheld, now: shownTime(context) });
  const decision = use.activated ? 'accepted, activates its refresh token' : 'accepted';
  return { decision, reason: null, given: { ...given, headers: { ...given.headers, ...headers } } };
}

function answerOf({ upstream }: Context, request: EmulatorRequest, access: Access): Reply {
  const { userinfo, api } = upstream.form.paths;
  const path = pathOf(request);
  return path === userinfo && !api.includes(path)
    ? json(200, claimsOf(access.user))
    : upstream.form.api(request, access);
}

function refuse({ upstream }: Context, reason: ApiRefusal) {
  return { decision: 'refused', reason, given: upstream.form.apiRefusal(reason) };
}

/**
 * Counts this call; limits are by app and company (division). Beyond a limit 429 with the headers of that limit alone,
 * and no body.
 */
function overLimit(context: Context, counted: Counted): Reply | null {
  const { apiCalls, upstream } = context;
  const now = context.now();
  if (apiCalls.count('minute', counted, now) >= upstream.switches.apiCallsPerMinute) {
    return answer(429, minutely(context, counted));
  }
  if (apiCalls.count('day', counted, now) >= upstream.switches.apiCallsPerDay)
    return answer(429, daily(context, counted));
  apiCalls.add('minute', counted, now);
  apiCalls.add('day', counted, now);
  return null;
}

/** Reset is in milliseconds since the epoch. Nothing where there is no limit. */
function daily(context: Context, counted: Counted): Record<string, string> {
  const { apiCalls, upstream } = context;
  const now = context.now();
  const limit = upstream.switches.apiCallsPerDay;
  if (!Number.isFinite(limit)) return {};
  return {
    'x-ratelimit-limit': String(limit),
    'x-ratelimit-remaining': String(Math.max(0, limit - apiCalls.count('day', counted, now))),
    'x-ratelimit-reset': String(apiCalls.resetsAt('day', now)),
  };
}

function minutely(context: Context, counted: Counted): Record<string, string> {
  const { apiCalls, upstream } = context;
  const now = context.now();
  const limit = upstream.switches.apiCallsPerMinute;
  if (!Number.isFinite(limit)) return {};
  return {
    'x-ratelimit-minutely-limit': String(limit),
    'x-ratelimit-minutely-remaining': String(Math.max(0, limit - apiCalls.count('minute', counted, now))),
    'x-ratelimit-minutely-reset': String(apiCalls.resetsAt('minute', now)),
  };
}
