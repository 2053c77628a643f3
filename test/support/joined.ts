/**
 * A keeper and an emulated provider joined without a socket, on one clock that stands still until it is told to go on:
 * what the provider does to the keeper is known, and so is what the keeper makes of it.
 */
import { parseProvider } from '../../src/catalogue/parse.ts';
import type { Provider } from '../../src/catalogue/provider.ts';
import { EvergrantError } from '../../src/core/errors.ts';
import { Secret } from '../../src/core/secret.ts';
import { type EmulatorAnswer, type EmulatorWithoutSocket, emulatorWithoutSocket } from '../../src/emulator.ts';
import { openAnswer } from '../../src/keeper/answers.ts';
import { tokensOf } from '../../src/keeper/reading.ts';
import { readPointer } from '../../src/oauth/json-pointer.ts';
import type { Connection, HttpAnswer, HttpRequest, Lost, Network, NotSent } from '../../src/ports/network.ts';
import { type Bench, bench } from './keeper-bench.ts';
import { VirtualClock } from './virtual-clock.ts';

const BASE = 'http://127.0.0.1:1';

export interface Joined {
  readonly world: Bench;
  readonly provider: EmulatorWithoutSocket;
  readonly clock: VirtualClock;
  /** Somebody asks for a token and does not wait; gives the code of the error and of its diagnosis, or `token`. */
  ask(): Promise<string>;
  /** Another system gets an authorization of the same app and account. */
  authorizeElsewhere(): Promise<void>;
  /** Another program presents the newest refresh token, and calls the API with what it gets. */
  exchangeElsewhere(): Promise<void>;
}

export interface JoinedOptions {
  /** The app proves itself by `private_key_jwt` with this key. */
  readonly key?: { readonly privateKey: string; readonly jwks: unknown };
  /** What lies between the two. */
  readonly through?: (network: Network, clock: VirtualClock) => Network;
}

export async function joined(profile: string, { key, through }: JoinedOptions = {}): Promise<Joined> {
  const clock = new VirtualClock();
  const jwks = key ? { jwks: key.jwks } : {};
  const provider = emulatorWithoutSocket(profile, { clock, baseUrl: BASE, sleep: (ms) => clock.sleep(ms), ...jwks });
  const direct = networkOf(provider, clock);
  const network = through?.(direct, clock) ?? direct;
  const parsed = parseProvider(`${profile}.json`, provider.providerFile, 'local');
  const world = await bench({ network, clock, provider: parsed });
  await connected(world, provider, clock, key?.privateKey);
  return {
    world,
    provider,
    clock,
    ask: () => ask(world, clock),
    authorizeElsewhere: async () => {
      await connected(await bench({ network, clock, provider: parsed }), provider, clock);
    },
    exchangeElsewhere: () => exchangeElsewhere(world, parsed, provider, network),
  };
}

async function ask({ keeper }: Bench, clock: VirtualClock): Promise<string> {
  try {
    await clock.until(keeper.tokens.get('it', { minTtlMs: 5_000, waitMs: 0 }), 200_000);
    return 'token';
  } catch (error) {
    if (!(error instanceof EvergrantError)) throw error;
    return error.details.diagnosis?.code ?? error.code;
  }
}

/** Makes the app and the grant, and lets the person allow it. */
async function connected(
  world: Bench,
  provider: EmulatorWithoutSocket,
  clock: VirtualClock,
  privateKey?: string,
): Promise<void> {
  const { clientId, clientSecret } = provider;
  const id = String(provider.providerFile.id);
  const secret = new Secret('client secret', clientSecret);
  const proof = privateKey
    ? { clientSecret: null, privateKey: new Secret('private key', privateKey) }
    : { clientSecret: secret };
  const app = await world.keeper.apps.create({ provider: id, clientId, ...proof });
  await world.keeper.grants.create({ app: app.id, alias: 'it' });
  await authorize(world, provider, clock);
}

async function authorize(world: Bench, provider: EmulatorWithoutSocket, clock: VirtualClock): Promise<void> {
  const { authorizations } = world.keeper;
  provider.control.preselect({ decision: 'approve', user: null, once: true });
  const { ticket } = await authorizations.begin('it', {});
  const { location, browserCookie } = await authorizations.open(ticket);
  const there = await provider.handle({
    method: 'GET',
    url: location,
    headers: { host: '127.0.0.1:1' },
    body: new Uint8Array(),
  });
  const back = new URL(there.headers.location ?? '').searchParams;
  const code = back.get('code');
  const callback = {
    state: back.get('state'),
    code: code === null ? null : new Secret('authorization code', code),
    error: back.get('error'),
    errorDescription: back.get('error_description'),
    iss: back.get('iss'),
  };
  const outcome = await clock.until(authorizations.finish(callback, browserCookie));
  if (outcome.outcome !== 'done') throw new Error(`not authorized: ${outcome.reason}`);
}

/** With the token taken from the keeper's own store, as a copy of its data folder would have it. */
async function exchangeElsewhere(world: Bench, parsed: Provider, provider: EmulatorWithoutSocket, network: Network) {
  const { id } = await world.keeper.grants.get('it');
  const { chain } = await world.store.chains.read(id);
  const link = chain.links.at(-1)?.id ?? 'lnk_';
  const sealed = await world.store.chains.answer(id, link);
  if (!sealed) throw new Error('the keeper holds no answer');
  const tokenEndpoint = parsed.tokenEndpoint ?? (await discovered(network));
  const resolved = { ...parsed, authorizationEndpoint: parsed.authorizationEndpoint ?? '', tokenEndpoint };
  const { refreshToken } = tokensOf(openAnswer(world.sealer, id, link, sealed), resolved, world.clock.now());
  if (!refreshToken) throw new Error('the answer holds no refresh token');
  const form = new URLSearchParams({
    grant_type: 'refresh_token',
    refresh_token: refreshToken.reveal(),
    client_id: provider.clientId,
    client_secret: provider.clientSecret,
  });
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  const answer = await sendTo(network, {
    method: 'POST',
    url: parsed.refreshEndpoint ?? tokenEndpoint,
    headers,
    body: String(form),
  });
  const accessToken = readPointer(JSON.parse(new TextDecoder().decode(answer.body)), parsed.tokenResponse.accessToken);
  if (typeof accessToken !== 'string') throw new Error('nothing was exchanged');
  const url = parsed.identity?.endpoint ?? '';
  if (url !== '') await sendTo(network, { method: 'GET', url, headers: { authorization: `Bearer ${accessToken}` } });
}

async function discovered(network: Network): Promise<string> {
  const url = `${BASE}/.well-known/openid-configuration`;
  const { body } = await sendTo(network, { method: 'GET', url, headers: {} });
  return String(JSON.parse(new TextDecoder().decode(body)).token_endpoint);
}

async function sendTo(network: Network, request: HttpRequest): Promise<HttpAnswer> {
  const connection = await network.open(request.url, 'local', 1_000);
  const answer = connection.kind === 'connection' ? await connection.send(request, 1_000) : connection;
  if (answer.kind !== 'answer') throw new Error(answer.reason);
  return answer;
}

function networkOf(provider: EmulatorWithoutSocket, clock: VirtualClock): Network {
  return {
    async open(): Promise<Connection | NotSent> {
      return {
        kind: 'connection',
        send: (request, timeoutMs) => send(provider, clock, request, timeoutMs),
        close() {},
      };
    },
  };
}

async function send(
  provider: EmulatorWithoutSocket,
  clock: VirtualClock,
  request: HttpRequest,
  timeoutMs: number,
): Promise<HttpAnswer | NotSent | Lost> {
  const { method, url, headers, body = '' } = request;
  const lower = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  const given = await provider.handle({
    method,
    url,
    headers: { host: '127.0.0.1:1', ...lower },
    body: new TextEncoder().encode(body),
  });
  if (given.delivery.kind === 'hang') await clock.sleep(timeoutMs);
  const isUnknownName = given.delivery.kind === 'none' && provider.control.ledger().at(-1)?.fault === 'dns-failure';
  if (isUnknownName) return { kind: 'not_sent', reason: 'DNS' };
  return delivered(given);
}

/** What of an answer arrives. */
function delivered({ status, headers, body, delivery }: EmulatorAnswer): HttpAnswer | NotSent | Lost {
  const whole: HttpAnswer = { kind: 'answer', status, headers, body, complete: true };
  switch (delivery.kind) {
    case 'none':
    case 'hang':
      return { kind: 'lost', reason: delivery.kind };
    case 'alert':
      return { kind: 'not_sent', reason: 'TLS' };
    case 'partial':
      return { ...whole, body: body.slice(0, delivery.bytes), complete: false };
    case 'whole':
    case 'drip':
      return whole;
  }
}
