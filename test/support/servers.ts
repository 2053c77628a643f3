/** Servers in processes of their own, for tests that end them in every way a process can end. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Settings } from '../../src/app.ts';
import { type Emulator, emulator } from '../../src/emulator.ts';
import type { CrashMessage, CrashOrder } from './crash-server.ts';
import { settingsFor } from './settings.ts';
import { ShiftedClock } from './shifted-clock.ts';

const CHILD = new URL('./crash-server.ts', import.meta.url);

/** What tests look at in answers of the API; which of it is there depends on what was asked. */
interface Body {
  readonly id: string;
  readonly state: string;
  readonly key: string;
  readonly authorization_url: string;
  readonly diagnosis: {
    readonly code: string;
    readonly evidence: string;
    readonly said: { readonly description: string };
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Body;
}

/** One world: an emulated Exact Online, a data folder, and at most one server on it. Time passes for all alike. */
export class World {
  readonly folder: string;
  readonly provider: Emulator;
  readonly #clock: ShiftedClock;
  #child: ChildProcess | null = null;
  #origin = '';
  #adminKey = '';
  /** Everything the server ever printed. */
  output = '';

  private constructor(folder: string, provider: Emulator, clock: ShiftedClock) {
    this.folder = folder;
    this.provider = provider;
    this.#clock = clock;
  }

  static async create(seed = 1): Promise<World> {
    const folder = mkdtempSync(join(tmpdir(), 'evergrant-test-'));
    const clock = new ShiftedClock();
    const provider = await emulator('exact-online', { seed, clock });
    mkdirSync(join(folder, 'providers'));
    writeFileSync(join(folder, 'providers', 'exact.json'), JSON.stringify(provider.providerFile));
    return new World(folder, provider, clock);
  }

  get data(): string {
    return join(this.folder, 'data');
  }

  get origin(): string {
    return this.#origin;
  }

  get adminKey(): string {
    return this.#adminKey;
  }

  async start(): Promise<void> {
    const order: CrashOrder = { settings: this.#settings(), offsetMs: this.#clock.offsetMs };
    const child = fork(CHILD, [JSON.stringify(order)], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (this.output += String(chunk)));
    const [ready] = (await Promise.race([once(child, 'message'), once(child, 'exit')])) as [
      { origin?: string; adminKey?: string } | number,
    ];
    if (typeof ready !== 'object' || !ready?.origin) throw new Error(`the server did not start:\n${this.output}`);
    this.#origin = ready.origin;
    this.#adminKey = ready.adminKey ?? '';
  }

  /** Resolves with the signal or exit code once the process is gone. */
  async ended(): Promise<string | number | null> {
    const child = this.#child;
    if (!child) return null;
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    this.#child = null;
    return child.signalCode ?? child.exitCode;
  }

  async signal(name: 'SIGKILL' | 'SIGTERM'): Promise<string | number | null> {
    this.#child?.kill(name);
    return this.ended();
  }

  /** Time passes, at the provider and here. */
  async advance(seconds: number): Promise<void> {
    this.#clock.advance(seconds * 1000);
    await this.#tell({ advance: seconds * 1000 });
  }

  /** The server kills itself when an exchange next reaches this step. */
  async crashAt(step: string): Promise<void> {
    await this.#tell({ crashAt: step });
  }

  async #tell(message: CrashMessage): Promise<void> {
    const child = this.#child;
    if (!child) return;
    const over = new AbortController();
    const heard = ['message', 'exit'].map((event) => once(child, event, { signal: over.signal }));
    child.send(message);
    await Promise.race(heard);
    over.abort();
    await Promise.allSettled(heard);
  }

  api(method: string, path: string, body?: unknown): Promise<Answer> {
    return this.raw(method, path, body === undefined ? undefined : JSON.stringify(body));
  }

  /** With a body as it is, JSON or not. */
  async raw(method: string, path: string, body?: string): Promise<Answer> {
    const answer = await fetch(`${this.#origin}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.#adminKey}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body }),
    });
    const text = await answer.text();
    return { status: answer.status, headers: answer.headers, body: parse(text) as Body };
  }

  /** A grant through the whole authorization, as a browser does it; the person at the provider says yes at once. */
  async connect(alias: string): Promise<string> {
    const { clientId, clientSecret, providerFile } = this.provider;
    const app = await this.api('POST', '/v1/apps', {
      provider: providerFile.id,
      client_id: clientId,
      client_secret: clientSecret,
    });
    const grant = await this.api('POST', '/v1/grants', { app: app.body.id, alias });
    if (grant.status !== 201) throw new Error(JSON.stringify(grant.body));
    await this.authorize(grant.body.authorization_url);
    return grant.body.id;
  }

  async authorize(authorizationUrl: string): Promise<globalThis.Response> {
    this.provider.control.preselect({ decision: 'approve', user: null, once: true });
    const url = new URL(authorizationUrl);
    const ticket = `${this.#origin}${url.pathname}`;
    const opened = await fetch(ticket, { method: 'POST', redirect: 'manual', headers: { origin: this.#origin } });
    const cookie = (opened.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
    const there = await fetch(opened.headers.get('location') ?? '', { redirect: 'manual' });
    const back = new URL(there.headers.get('location') ?? '');
    return fetch(`${this.#origin}${back.pathname}${back.search}`, { headers: { cookie } });
  }

  /** Requests to the token endpoint that gave tokens, the authorization first. */
  issues() {
    return this.provider.control.ledger().filter((entry) => entry.endpoint === 'token' && entry.issued.length > 0);
  }

  /** Those of them that were exchanges of a refresh token. */
  exchanges() {
    return this.issues().slice(1);
  }

  async close(): Promise<void> {
    await this.signal('SIGKILL');
    await this.provider.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #settings(): Settings {
    return settingsFor(this.data, { providersFolder: join(this.folder, 'providers'), log: 'debug' });
  }
}

/** Not everything is JSON: metrics and pages are text. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Asks again and again until the answer is as wanted. */
export async function eventually<T>(
  ask: () => Promise<T>,
  isWanted: (value: T) => boolean,
  mostMs = 120_000,
): Promise<T> {
  const end = Date.now() + mostMs;
  for (;;) {
    const value = await ask();
    if (isWanted(value)) return value;
    if (Date.now() > end) throw new Error(`still not as wanted: ${JSON.stringify(value)}`);
    await new Promise((done) => {
      setTimeout(done, 50);
    });
  }
}
