/**
 * Composition of the emulator, and the package's entry `evergrant/emulator`: an upstream authorization server with one
 * provider's rules, on a loopback port, with controls for tests. Many may run in one process; each is its own world.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import type { Instant } from './core/instant.ts';
import { Chance } from './emulator/chance.ts';
import { CONTROL_PATH, withControl } from './emulator/control.ts';
import type { FaultName } from './emulator/faults.ts';
import type { Form, Switches } from './emulator/form.ts';
import { BUILT_IN_NAMES, builtInForm, fileOfName, formOfFile, formOfName, namesOfFile } from './emulator/forms.ts';
import { EmulatedServer } from './emulator/server.ts';
import { listen } from './emulator/socket-server.ts';
import { answerOf, type Handler, type Responder } from './emulator/wire.ts';
import { systemClock } from './world/system-clock.ts';

export { fingerprint } from './emulator/chance.ts';
export { faultName } from './emulator/control.ts';
export { settingName, settingOf } from './emulator/control-settings.ts';
export { FAULTS, type FaultName, type FaultSpec } from './emulator/faults.ts';
export type { Switches } from './emulator/form.ts';
export type { FamilyTree, LedgerEntry } from './emulator/ledger.ts';
export type { ChainReport, Report } from './emulator/report.ts';
export type { EmulatedServer, EmulatorState } from './emulator/server.ts';
export type { Delivery, EmulatorAnswer, EmulatorRequest, Handler } from './emulator/wire.ts';

const PROVIDERS = join(import.meta.dirname, '..', 'providers');

/** What can be emulated by its name: every provider that comes with Evergrant, and profiles with rules of their own. */
export function emulatedProviders(): readonly string[] {
  const files = readdirSync(PROVIDERS).filter((name) => name.endsWith('.json') && name !== 'schema.json');
  const names = files.flatMap((name) => namesOfFile(name.replace(/\.json$/, '')));
  return [...new Set([...BUILT_IN_NAMES, ...names])].toSorted();
}

/** A name, or the path of a provider file: it ends in `.json`, or has a slash. */
function formOf(provider: string, now: Instant): Form {
  const builtIn = builtInForm(provider);
  if (builtIn) return builtIn;
  const isPath = provider.endsWith('.json') || provider.includes('/') || provider.includes(sep);
  if (isPath) return formOfFile({ name: provider, text: readFileSync(provider, 'utf8') }, now);
  const names = emulatedProviders();
  if (!names.includes(provider)) throw new RangeError(`no emulator of ${provider}; there is: ${names.join(', ')}`);
  const path = join(PROVIDERS, `${fileOfName(provider)}.json`);
  return formOfName(provider, { name: path, text: readFileSync(path, 'utf8') }, now);
}

const USUAL_REDIRECT_URI = 'http://127.0.0.1:8787/callback';
/** Faster than this, the shortest duration of a policy would round to nothing. */
const MOST_SPEED = 180;

export interface EmulatorOptions {
  /** 0, the default: any free port. */
  readonly port?: number;
  /** Serves https with this certificate and key (PEM) instead of http. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** Every duration of the policy is divided by it; 1 to 180, the default 1. */
  readonly speed?: number;
  /** The same seed and requests give the same tokens. The default is 1. */
  readonly seed?: number | string;
  /** Redirect URIs of the app. `http://{loopback}:{any port}/callback` is accepted anyway. */
  readonly redirectUris?: readonly string[];
  /** Public keys of the app, a JSON Web Key Set: it then proves itself by `private_key_jwt`, and no secret is good. */
  readonly jwks?: unknown;
  readonly switches?: Partial<Switches>;
  /** Share of requests to the token endpoint that each fault strikes, from 0 to 1. */
  readonly faultRates?: Readonly<Partial<Record<FaultName, number>>>;
  /** The default is the machine's. */
  readonly clock?: { now(): Instant };
  /** Waits so many milliseconds, for faults that delay. The default is in real time. */
  readonly sleep?: (ms: number) => Promise<void>;
}

/** What a client needs to know of an emulator, and the controls. */
export interface EmulatorWithoutSocket {
  readonly baseUrl: string;
  /** The JSON object for a keeper's folder of providers. */
  readonly providerFile: Record<string, unknown>;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly redirectUris: readonly string[];
  readonly user: { readonly username: string; readonly password: string; readonly totpSecret: string };
  readonly controlUrl: string;
  readonly controlKey: string;
  readonly control: EmulatedServer;
  /** Which switches mean something at this provider. */
  readonly settable: readonly (keyof Switches)[];
  /** Everything that a socket would carry, by a call. */
  readonly handle: Handler;
}

export interface Emulator extends EmulatorWithoutSocket, AsyncDisposable, Disposable {
  /** Out of reach: connections are cut and refused, and nothing is forgotten. */
  goAway(): Promise<void>;
  /** In reach again, at the same address. */
  comeBack(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Starts an emulator on loopback: `await using server = await emulator('exact-online', { speed: 60 })`. The provider is
 * a name of `emulatedProviders()`, or the path of a provider file. Throws a RangeError for an unknown name or switch.
 */
export async function emulator(provider: string, options: EmulatorOptions = {}): Promise<Emulator> {
  const { server, key, sleep } = build(provider, options);
  const respond = withControl(server, key);
  const tls = options.tls ?? null;
  let listening = await listen(respond, { port: options.port ?? 0, sleep, tls });
  const { port } = listening;
  const names = ['127.0.0.1', 'localhost'].map((host) => `${host}:${port}`);
  server.onlyFor(names);
  const close = () => listening.close();
  return {
    ...describe(server, key, respond, `${tls ? 'https' : 'http'}://127.0.0.1:${port}`),
    goAway: close,
    async comeBack() {
      listening = await listen(respond, { port, sleep, tls });
    },
    close,
    [Symbol.asyncDispose]: close,
    [Symbol.dispose]: () => void close(),
  };
}

/** The same without a socket, for simulators: `handle` is the server, `baseUrl` the name it goes by. */
export function emulatorWithoutSocket(
  provider: string,
  options: EmulatorOptions & { readonly baseUrl?: string } = {},
): EmulatorWithoutSocket {
  const { server, key } = build(provider, options);
  return describe(server, key, withControl(server, key), options.baseUrl ?? 'http://127.0.0.1:1');
}

function build(provider: string, options: EmulatorOptions) {
  const {
    speed = 1,
    seed = 1,
    redirectUris = [USUAL_REDIRECT_URI],
    switches = {},
    faultRates = {},
    jwks = null,
  } = options;
  const clock = options.clock ?? systemClock;
  const form = formOf(provider, clock.now());
  if (!(speed >= 1 && speed <= MOST_SPEED)) throw new RangeError(`speed is a number from 1 to ${MOST_SPEED}`);
  const sleep = options.sleep ?? ((ms: number) => systemClock.sleep(ms));
  const server = new EmulatedServer({ form, seed, speed, switches, redirectUris, jwks, faultRates, clock, sleep });
  return { server, sleep, key: new Chance(seed).text('control key', 32) };
}

function describe(server: EmulatedServer, key: string, respond: Responder, baseUrl: string): EmulatorWithoutSocket {
  const { username, password, totpSecret } = server.defaultUser();
  const { clientId, clientSecret, redirectUris } = server.defaultApp();
  return {
    baseUrl,
    providerFile: server.providerFile(baseUrl),
    clientId,
    clientSecret,
    redirectUris,
    user: { username, password, totpSecret },
    controlUrl: `${baseUrl}${CONTROL_PATH}`,
    controlKey: key,
    control: server,
    settable: server.settable,
    handle: async (request) => answerOf(await respond(request)),
  };
}
