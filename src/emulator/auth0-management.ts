/**
 * Auth0's management pages, as far as they are about refresh tokens: the tenant's log, and the settings of an app. They
 * want a token that an app got for itself (`client_credentials`). Fields are those of auth0/auth0-log-schemas.
 */
import { parseObject, type JsonObject } from '../oauth/json.ts';
import { type Instant, toRfc3339 } from '../core/instant.ts';
import type { Inside } from './form.ts';
import type { Happening } from './happening.ts';
import type { Switches } from './switches.ts';
import { bodyText, type Reply, type EmulatorRequest, json, pathOf, urlOf } from './wire.ts';

/** Null for paths that are not of the management API. */
export function auth0Management(request: EmulatorRequest, inside: Inside): Reply | null {
  const path = pathOf(request);
  if (!path.startsWith('/api/v2/')) return null;
  if (!inside.isManager) return json(401, { statusCode: 401, error: 'Unauthorized', message: 'Invalid token' });
  if (path === '/api/v2/logs') return logs(request, inside);
  const client = /^\/api\/v2\/clients\/([\w-]+)$/.exec(path)?.[1];
  const app = inside.apps.find((one) => one.clientId === client);
  if (!app) return json(404, { statusCode: 404, error: 'Not Found', message: 'Nothing is here.' });
  if (request.method === 'PATCH') inside.change(switchesOf(parseObject(bodyText(request)) ?? {}, inside.switches()));
  return json(200, { client_id: app.clientId, name: app.name, refresh_token: settingsOf(inside.switches()) });
}

/** Newest first, as far back as the tenant's plan remembers. `q=type:ferrt` picks one type. */
function logs(request: EmulatorRequest, inside: Inside): Reply {
  const { searchParams } = urlOf(request);
  const type = /^type:\(?"?(\w+)"?\)?$/.exec(searchParams.get('q') ?? '')?.[1];
  const [page, size] = [Number(searchParams.get('page') ?? 0), Number(searchParams.get('per_page') ?? 50)];
  const since = (inside.now - inside.switches().logRetentionMs) as Instant;
  const entries = inside.happenings
    .map((one, i) => ({ ...entryOf(one, inside), log_id: String(90_020_261_122_000_000n + BigInt(i)) }))
    .filter((one) => Date.parse(one.date) >= since && (type === undefined || one.type === type))
    .toReversed();
  return json(200, entries.slice(page * size, (page + 1) * size));
}

function entryOf(happening: Happening, inside: Inside) {
  const { at, client, user } = happening;
  const app = inside.apps.find((one) => one.clientId === client);
  return {
    date: toRfc3339(at),
    ...typeAndDetails(happening),
    client_id: client,
    client_name: app?.name ?? '',
    user_id: user,
    user_name: inside.userName(user),
    ip: '127.0.0.1',
    hostname: 'localhost',
    tenant_name: 'emulated',
    environment_name: 'emulated',
    audience: '',
  };
}

function typeAndDetails(one: Happening): { type: string; description: string; details?: unknown } {
  switch (one.what) {
    case 'authorized':
      return { type: 'seacft', description: 'Success Exchange: authorization code for access token' };
    case 'code-refused':
      return { type: 'feacft', description: `Failed Exchange: ${one.reason}` };
    case 'client-refused':
      return { type: 'feacft', description: 'Unauthorized' };
    case 'exchanged': {
      const { family: familyId, counter: tokenCounter } = one.chain;
      const details = {
        familyId,
        tokenCounter,
        requested_client_id: one.client,
        requested_scope: one.scope.join(' '),
        refresh_token: { access: 'offline' },
      };
      return { type: 'sertft', description: 'Successful Refresh Token exchange', details };
    }
    case 'reuse': {
      const { family: familyId, counter: tokenCounter, latest: latestCounter } = one.chain;
      return {
        type: 'ferrt',
        description: 'Failed Exchange of Rotating Refresh Token',
        details: { familyId, tokenCounter, latestCounter },
      };
    }
    case 'exchange-refused':
      return {
        type: 'fertft',
        description: 'Failed Exchange: Refresh Token for Access Token',
        details: { failure_reason: failureOf(one.reason), requested_client_id: one.client },
      };
    case 'evicted':
      return {
        type: 'resource_cleanup',
        description: 'Refresh Token Excess Warning',
        details: {
          resource: 'refresh_token',
          start: one.from,
          removedCount: one.removed,
          endCount: one.from - one.removed,
        },
      };
    case 'revoked':
      return { type: 'srrt', description: 'Success Revocation of Refresh Token' };
  }
}

const failureOf = (reason: string) => (reason === 'revoked' ? 'grant_revoked' : 'invalid_token');

const seconds = (ms: number) => ms / 1000;

function settingsOf(switches: Switches) {
  const { rotation, leewayMs, absoluteMs, idleMs } = switches;
  const isExpiring = Number.isFinite(absoluteMs);
  return {
    rotation_type: rotation ? 'rotating' : 'non-rotating',
    expiration_type: isExpiring ? 'expiring' : 'non-expiring',
    leeway: seconds(leewayMs),
    ...(isExpiring ? { token_lifetime: seconds(absoluteMs) } : {}),
    ...(Number.isFinite(idleMs) ? { idle_token_lifetime: seconds(idleMs) } : {}),
    infinite_token_lifetime: !isExpiring,
    infinite_idle_token_lifetime: !Number.isFinite(idleMs),
  };
}

const DEFAULT_LIFE_MS = 2_592_000_000;

/** `PATCH` with `{"refresh_token": {...}}`; what it does not name stays. */
function switchesOf(body: JsonObject, now: Switches): Partial<Switches> {
  const wish = (body.refresh_token ?? {}) as JsonObject;
  const ms = (value: unknown, left: number) => (typeof value === 'number' && value >= 0 ? value * 1000 : left);
  const isInfinite = wish.infinite_token_lifetime === true || wish.expiration_type === 'non-expiring';
  const life =
    wish.expiration_type === 'expiring' && !Number.isFinite(now.absoluteMs) ? DEFAULT_LIFE_MS : now.absoluteMs;
  return {
    rotation: wish.rotation_type === undefined ? now.rotation : wish.rotation_type === 'rotating',
    leewayMs: ms(wish.leeway, now.leewayMs),
    absoluteMs: isInfinite ? Number.POSITIVE_INFINITY : ms(wish.token_lifetime, life),
    idleMs:
      wish.infinite_idle_token_lifetime === true ? Number.POSITIVE_INFINITY : ms(wish.idle_token_lifetime, now.idleMs),
  };
}
