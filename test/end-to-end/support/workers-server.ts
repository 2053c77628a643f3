/**
 * A server of several processes, as the command line starts it, before an emulated Exact Online; and lines to it:
 * connections that are kept, so that each leads to one worker. The parent deals new connections out in turn, so a few
 * lines for each worker reach all of them.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, type IncomingHttpHeaders, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text as wholeText } from 'node:stream/consumers';
import { type Emulator, emulator } from '../../../src/emulator.ts';
import { ShiftedClock } from '../../support/shifted-clock.ts';

const AN_HOUR_MS = 3_600_000;
const PROGRAM = join(import.meta.dirname, '../../../bin/evergrant.js');

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly json: Readonly<Record<string, unknown>>;
}

export interface Asking {
  readonly headers?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  readonly form?: Readonly<Record<string, string>>;
}

/** One connection, kept: everything sent on it is answered by one worker, as long as that lives. */
export class Line {
  readonly #origin: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  constructor(origin: string) {
    this.#origin = origin;
  }

  async ask(method: string, path: string, { headers = {}, json, form }: Asking = {}): Promise<Answer> {
    const body = json === undefined ? form && new URLSearchParams(form).toString() : JSON.stringify(json);
    const type = json === undefined ? 'application/x-www-form-urlencoded' : 'application/json';
    const sent = request(`${this.#origin}${path}`, {
      method,
      agent: this.#agent,
      headers: body === undefined ? headers : { 'content-type': type, ...headers },
    }).end(body);
    const [answer] = (await once(sent, 'response')) as [
      Parameters<typeof wholeText>[0] & Answer & { statusCode: number },
    ];
    const text = await wholeText(answer);
    return { status: answer.statusCode, headers: answer.headers, text, json: parsed(text) };
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** Not everything is JSON. */
function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(text) as Readonly<Record<string, unknown>>;
  } catch {
    return {};
  }
}

export class WorkersServer {
  readonly folder = mkdtempSync(join(tmpdir(), 'evergrant-workers-'));
  readonly provider: Emulator;
  readonly #env: Readonly<Record<string, string>>;
  readonly #clock: ShiftedClock;
  readonly #ownsProvider: boolean;
  #before = 0;
  #child: ChildProcess | null = null;
  #lines: Line[] = [];
  origin = '';
  /** Everything that any of its processes ever printed. */
  output = '';

  private constructor(
    { provider, clock, isOwn }: { readonly provider: Emulator; readonly clock: ShiftedClock; readonly isOwn: boolean },
    env: Readonly<Record<string, string>>,
  ) {
    this.provider = provider;
    this.#clock = clock;
    this.#ownsProvider = isOwn;
    this.#env = env;
    mkdirSync(join(this.folder, 'providers'));
    writeFileSync(join(this.folder, 'providers', 'exact.json'), JSON.stringify(provider.providerFile));
  }

  static async create(env: Readonly<Record<string, string>> = {}): Promise<WorkersServer> {
    const clock = new ShiftedClock();
    return new WorkersServer({ provider: await emulator('exact-online', { clock }), clock, isOwn: true }, env);
  }

  /** Another server with the same settings and a folder of its own, before the same provider. */
  beside(): WorkersServer {
    return new WorkersServer({ provider: this.provider, clock: this.#clock, isOwn: false }, this.#env);
  }

  get data(): string {
    return join(this.folder, 'data');
  }

  async start(workers: number, ...more: readonly string[]): Promise<void> {
    const place = ['--listen', '127.0.0.1:0', '--data', this.data, '--providers', join(this.folder, 'providers')];
    const words = ['serve', '--json', '--workers', String(workers), ...place, ...more];
    const env = Object.entries(process.env).filter(([name]) => !name.startsWith('EVERGRANT_'));
    const child = spawn(process.execPath, [PROGRAM, ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...Object.fromEntries(env), ...this.#env },
    });
    this.#child = child;
    child.stderr.on('data', (part: Buffer) => {
      this.output += part.toString();
    });
    const ready = once(createInterface(child.stdout), 'line') as Promise<[string]>;
    const ended = once(child, 'exit').then(() => {
      throw new Error(`the server did not start:\n${this.output}`);
    });
    ended.catch(() => undefined);
    const [line] = await Promise.race([ready, ended]);
    this.output += `${line}\n`;
    this.origin = (JSON.parse(line) as { listening: string }).listening;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get adminKey(): string {
    const given = this.#env.EVERGRANT_ADMIN_KEY;
    return given ?? readFileSync(join(this.data, 'admin.key'), 'utf8').trim();
  }

  /** The processes that answer, as the kernel knows them. */
  workers(): readonly number[] {
    return childrenOf(this.pid);
  }

  /** Kept connections, `each` for every worker, opened one after the other. */
  async lines(each = 2): Promise<readonly Line[]> {
    for (const line of this.#lines) line.close();
    this.#lines = Array.from({ length: this.workers().length * each }, () => new Line(this.origin));
    for (const line of this.#lines) await line.ask('GET', '/livez');
    return this.#lines;
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  /** Resolves with the signal or the exit code. */
  async ended(): Promise<string | number | null> {
    const child = this.#child;
    if (!child) return null;
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    return child.signalCode ?? child.exitCode;
  }

  /** As the admin, on a connection of its own. */
  async api(method: string, path: string, json?: unknown): Promise<Answer> {
    const line = new Line(this.origin);
    try {
      return await line.ask(method, path, {
        headers: { authorization: `Bearer ${this.adminKey}` },
        ...(json === undefined ? {} : { json }),
      });
    } finally {
      line.close();
    }
  }

  async addApp(): Promise<string> {
    const { clientId, clientSecret, providerFile } = this.provider;
    const made = await this.api('POST', '/v1/apps', {
      provider: providerFile.id,
      client_id: clientId,
      client_secret: clientSecret,
    });
    return String(made.json.id);
  }

  /** A grant through the whole authorization; each request may come to another worker. */
  async connect(alias: string, app: string): Promise<void> {
    const grant = await this.api('POST', '/v1/grants', { app, alias });
    const { pathname } = new URL(String(grant.json.authorization_url));
    await this.throughProvider(pathname, {});
  }

  /** A person clicks, says yes at the provider, and comes back. Gives what the browser gets then. */
  async throughProvider(path: string, form: Readonly<Record<string, string>>): Promise<Answer> {
    this.provider.control.preselect({ decision: 'approve', user: null, once: true });
    const opened = await this.browse('POST', path, { headers: { origin: this.origin }, form });
    const location = String(opened.headers.location);
    const cookie = (opened.headers['set-cookie'] ?? []).map((one) => one.split(';')[0]).join('; ');
    const there = await fetch(location, { redirect: 'manual' });
    const back = new URL(there.headers.get('location') ?? '');
    return this.browse('GET', back.pathname + back.search, { headers: { cookie } });
  }

  /** On a connection of its own. */
  async browse(method: string, path: string, asking: Asking): Promise<Answer> {
    const line = new Line(this.origin);
    try {
      return await line.ask(method, path, asking);
    } finally {
      line.close();
    }
  }

  /**
   * A grant whose access token is over: the next who asks makes it exchange. The refresh token was had long ago from the
   * provider by somebody else.
   */
  async importGrant(alias: string, app: string): Promise<void> {
    const { providerFile, clientId: client_id, clientSecret: client_secret, control, baseUrl } = this.provider;
    control.preselect({ decision: 'approve', user: null, once: true });
    const redirect_uri = 'http://127.0.0.1:8787/callback';
    const asking = new URLSearchParams({ client_id, redirect_uri, response_type: 'code', state: 'x' });
    const said = await fetch(`${String(providerFile.authorization_endpoint)}?${String(asking)}`, {
      redirect: 'manual',
    });
    const code = new URL(said.headers.get('location') ?? baseUrl).searchParams.get('code') ?? '';
    const form = { grant_type: 'authorization_code', code, redirect_uri, client_id, client_secret };
    const given = await fetch(String(providerFile.token_endpoint), { method: 'POST', body: new URLSearchParams(form) });
    const { refresh_token } = (await given.json()) as { refresh_token: string };
    this.#clock.advance(AN_HOUR_MS);
    const obtained_at = new Date(Date.now() - AN_HOUR_MS).toISOString();
    const imported = await this.api('POST', '/v1/grants', { app, alias, refresh_token, obtained_at, takeover: false });
    if (imported.status !== 201) throw new Error(imported.text);
    this.#before = this.#issues();
  }

  /** What the provider issued since the last grant was imported. */
  exchanges(): number {
    return this.#issues() - this.#before;
  }

  #issues(): number {
    return this.provider.control.ledger().filter((one) => one.endpoint === 'token' && one.issued.length > 0).length;
  }

  async close(): Promise<void> {
    for (const line of this.#lines) line.close();
    this.signal('SIGCONT');
    this.signal('SIGKILL');
    await this.ended();
    if (this.#ownsProvider) await this.provider.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export function childrenOf(pid: number): readonly number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return text.split(' ').filter(Boolean).map(Number);
}

export function isThere(pid: number): boolean {
  // A process that ended and that nobody asked for yet is not there.
  return existsSync(`/proc/${pid}/status`) && !readFileSync(`/proc/${pid}/status`, 'utf8').includes('State:\tZ');
}

/** Looks again and again until it is so. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, mostMs = 60_000): Promise<void> {
  const end = Date.now() + mostMs;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`Waited in vain until ${what}.`);
    await new Promise((done) => {
      setTimeout(done, 50);
    });
  }
}
