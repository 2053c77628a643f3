/**
 * Control over HTTP, for tests in other processes: JSON in and out, under its own path, with its own key, and without
 * CORS, so that no web page can use it. Durations in seconds, instants in RFC 3339.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import type { Instant } from '../core/instant.ts';
import { SETTINGS, settingName, switchesOf } from './control-settings.ts';
import { FAULTS, type FaultName, type FaultSpec } from './faults.ts';
import type { EmulatedServer } from './server.ts';
import { COUNTRIES } from './switches.ts';
import { answer, bearerOf, bodyText, type Reply, type EmulatorRequest, json, pathOf, type Responder } from './wire.ts';

export const CONTROL_PATH = '/_emu';
const PREFIX = `${CONTROL_PATH}/`;

/** `429` and `http-429` are one. */
export function faultName(text: string): FaultName | null {
  const name = text === '429' ? 'http-429' : text;
  return Object.hasOwn(FAULTS, name) ? (name as FaultName) : null;
}

const endpoint = z.enum(['authorize', 'login', 'token', 'api']);
const count = z.int().min(1);
const fault = z.strictObject({
  match: z.strictObject({ endpoint, user: z.string(), app: z.string(), n: count }).partial().optional(),
  fault: z.string().transform((text, ctx) => {
    const name = faultName(text);
    if (name === null) ctx.addIssue(`unknown fault ${text}; there are ${Object.keys(FAULTS).join(', ')}`);
    return name ?? 'delay';
  }),
  times: count.optional(),
  commit: z.enum(['before', 'after']).optional(),
  ms: z.number().min(0).optional(),
  at: z.union([z.int().min(0), z.literal('after-refresh-token')]).optional(),
  retry_after: z.int().min(0).optional(),
  as: z.union([z.enum(['string', 'number', 'missing']), z.literal(0)]).optional(),
  deliver: z.enum(['first', 'second']).optional(),
});

const person = z.strictObject({ user: z.string().optional(), once: z.boolean().optional() });
const who = z.union([z.literal(true), person]);
const narrowed = z.union([z.literal(true), person.extend({ scope: z.string().optional() })]);
const instant = z.iso.datetime().transform((text) => Date.parse(text) as Instant);
const BODIES = {
  clock: z.union([z.strictObject({ advance: z.number() }), z.strictObject({ set: instant })]),
  faults: z.preprocess((one) => (Array.isArray(one) ? one : [one]), z.array(fault)),
  expire: z.strictObject({ tokens: z.enum(['refresh', 'access', 'code']).optional(), user: z.string().optional() }),
  revoke: z.strictObject({ user: z.string().optional(), app: z.string().optional() }),
  authorize: z.union([
    z.strictObject({ approve: who }),
    z.strictObject({ deny: who }),
    z.strictObject({ narrow: narrowed }),
    z.strictObject({ interactive: z.literal(true) }),
  ]),
  settings: SETTINGS,
  users: z.strictObject({
    username: z.string().min(1),
    password: z.string().optional(),
    name: z.string().optional(),
    country: z.enum(COUNTRIES).optional(),
  }),
  apps: z.strictObject({ name: z.string().min(1), redirect_uris: z.array(z.url()), jwks: z.unknown().optional() }),
  grant: z.strictObject({ user: z.string().optional(), app: z.string().optional(), scope: z.string().optional() }),
  reset: z.strictObject({}),
};

/** Answers control requests itself and passes everything else on. */
export function withControl(server: EmulatedServer, key: string): Responder {
  return (request) => {
    const path = request.url.includes(PREFIX) ? pathOf(request) : '';
    if (!path.startsWith(PREFIX)) return server.respond(request);
    return control(server, key, request, path.slice(PREFIX.length));
  };
}

function control(server: EmulatedServer, key: string, request: EmulatorRequest, name: string): Reply {
  if (!server.isOwnHost(request)) return json(421, { error: 'this server is not known by that name' });
  if (!isEqual(bearerOf(request) ?? '', key))
    return json(401, { error: 'Authorization: Bearer {control_key} is needed' });
  if (request.method === 'GET') return read(server, name, request);
  if (request.method !== 'POST') return json(405, { error: 'GET or POST' }, { allow: 'GET, POST' });
  if (!/^application\/json\s*(;|$)/i.test(request.headers['content-type'] ?? '')) {
    return json(415, { error: 'the request must be JSON' });
  }
  return act(server, name, request);
}

function isEqual(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

const nothing = (name: string) =>
  json(404, { error: `no control named ${name}; GET state, ledger, report; POST ${Object.keys(BODIES).join(', ')}` });

function read(server: EmulatedServer, name: string, request: EmulatorRequest): Reply {
  if (name === 'state') return json(200, server.state());
  if (name === 'ledger') return json(200, { requests: server.ledger(), families: server.families() });
  if (name !== 'report') return nothing(name);
  const report = server.report();
  const isText = (request.headers.accept ?? '').includes('text/plain');
  return isText ? answer(200, { 'content-type': 'text/plain; charset=utf-8' }, report.text) : json(200, report);
}

function act(server: EmulatedServer, name: string, request: EmulatorRequest): Reply {
  if (!Object.hasOwn(BODIES, name)) return nothing(name);
  try {
    const text = bodyText(request);
    return json(200, perform(server, name as keyof typeof BODIES, text === '' ? {} : JSON.parse(text)));
  } catch (error) {
    if (error instanceof z.ZodError) return json(400, { error: z.prettifyError(error) });
    if (error instanceof RangeError) return json(400, { error: error.message });
    if (error instanceof SyntaxError) return json(400, { error: 'the body is not JSON' });
    throw error;
  }
}

function perform(server: EmulatedServer, name: keyof typeof BODIES, body: unknown): unknown {
  switch (name) {
    case 'clock': {
      const wish = BODIES.clock.parse(body);
      if ('advance' in wish) server.advance(wish.advance * 1000);
      else server.setClock(wish.set);
      return { now: server.state().now };
    }
    case 'faults':
      server.addFaults(BODIES.faults.parse(body).map(faultSpec));
      return { faults: server.state().faults };
    case 'expire': {
      const { tokens, user } = BODIES.expire.parse(body);
      for (const what of tokens ? [tokens] : (['refresh', 'access', 'code'] as const)) server.expire(what, user);
      return {};
    }
    case 'revoke':
      return { revoked: server.revoke(withoutUndefined(BODIES.revoke.parse(body))) };
    case 'authorize':
      return preselect(server, BODIES.authorize.parse(body));
    case 'settings':
      return changeSettings(server, SETTINGS.parse(body));
    case 'users':
      return addUser(server, BODIES.users.parse(body));
    case 'apps': {
      const { name: appName, redirect_uris, jwks = null } = BODIES.apps.parse(body);
      const { clientId, clientSecret } = server.addApp(appName, redirect_uris, jwks);
      return { client_id: clientId, client_secret: clientSecret, redirect_uris };
    }
    case 'grant': {
      const { scope, ...whose } = withoutUndefined(BODIES.grant.parse(body));
      const { accessToken, refreshToken } = server.grant({
        ...whose,
        ...(scope === undefined ? {} : { scope: words(scope) }),
      });
      return { access_token: accessToken, refresh_token: refreshToken };
    }
    case 'reset':
      BODIES.reset.parse(body);
      server.reset();
      return {};
  }
}

/** As the caller spells them. */
function changeSettings(server: EmulatedServer, wish: z.infer<typeof SETTINGS>): unknown {
  const known = server.settable.map(settingName);
  const surplus = Object.keys(wish).find((name) => !known.includes(name));
  if (surplus !== undefined) throw new RangeError(`no setting ${surplus} here; there are: ${known.join(', ')}`);
  server.change(switchesOf(wish));
  return { switches: server.state().switches };
}

function faultSpec({ match, ...rest }: z.infer<typeof fault>): FaultSpec {
  return { ...withoutUndefined(rest), ...(match === undefined ? {} : { match: withoutUndefined(match) }) };
}

function preselect(server: EmulatedServer, wish: z.infer<typeof BODIES.authorize>): unknown {
  if ('interactive' in wish) server.preselect({ decision: 'interactive' });
  else if ('narrow' in wish) {
    const { scope, ...whose } = wish.narrow === true ? {} : wish.narrow;
    server.preselect({
      ...personOf(whose),
      decision: 'narrow',
      ...(scope === undefined ? {} : { scope: words(scope) }),
    });
  } else if ('approve' in wish) server.preselect({ ...personOf(wish.approve), decision: 'approve' });
  else server.preselect({ ...personOf(wish.deny), decision: 'deny' });
  return { preselection: server.state().preselection };
}

function personOf(whose: z.infer<typeof who>): { readonly user: string | null; readonly once: boolean } {
  const { user = null, once = false } = whose === true ? {} : whose;
  return { user, once };
}

const words = (text: string) => text.split(' ').filter((one) => one !== '');

function addUser(server: EmulatedServer, wish: z.infer<typeof BODIES.users>): unknown {
  const { username, password, name, country } = wish;
  const user = server.addUser({
    username,
    ...(password === undefined ? {} : { password }),
    ...(name === undefined ? {} : { fullName: name }),
    ...(country === undefined ? {} : { country }),
  });
  return { username: user.username, password: user.password, totp_secret: user.totpSecret, user_id: user.id };
}

/** Optional fields that were not sent are left out, as the types of the inside say. */
function withoutUndefined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const entries = Object.entries(value).filter(([, one]) => one !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]: Exclude<T[K], undefined> };
}
