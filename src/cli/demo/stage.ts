/**
 * What the demo plays on: an emulated Exact Online in this process, and a real server of Evergrant as a process of its
 * own, so that it can be killed. Everything lies in one temporary folder, which is gone afterwards.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type ApiAnswer, request } from '../../client/request.ts';
import { EvergrantError } from '../../core/errors.ts';
import { type Emulator, emulator } from '../../emulator.ts';
import { asObject, type Json, text } from '../json.ts';

/**
 * Spacing 570 s becomes 4 s, access token and window 600 s become 5 s, rounded down to whole seconds: the second between
 * them is the room in which an exchange is neither too early nor too late. At speeds between it rounds to nothing.
 */
const SPEED = 120;
const PROGRAM = fileURLToPath(new URL('../../../bin/evergrant.js', import.meta.url));
const LINES_KEPT = 20;

/** Starts both ends; whatever fails on the way is cleared away. */
export async function setStage(seed: string): Promise<Stage> {
  await using opened = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'evergrant-demo-'));
  opened.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  const provider = opened.use(await emulator('exact-online', { speed: SPEED, seed }));
  const providers = join(folder, 'providers');
  await mkdir(providers);
  await writeFile(join(providers, 'exact-online-emulated.json'), JSON.stringify(provider.providerFile));
  const stage = new Stage(provider, folder, opened);
  opened.defer(() => stage.stopServer());
  await stage.startServer();
  stage.own(opened.move());
  return stage;
}

export class Stage implements AsyncDisposable {
  readonly provider: Emulator;
  readonly speed = SPEED;
  readonly #folder: string;
  #all: AsyncDisposableStack;
  #server: ChildProcess | null = null;
  /** `host:port`; the first start chooses it, and every later one takes it again. */
  #listen = '127.0.0.1:0';
  #adminKey = '';

  constructor(provider: Emulator, folder: string, all: AsyncDisposableStack) {
    this.provider = provider;
    this.#folder = folder;
    this.#all = all;
  }

  own(all: AsyncDisposableStack): void {
    this.#all = all;
  }

  get origin(): string {
    return `http://${this.#listen}`;
  }

  async startServer(): Promise<void> {
    const data = join(this.#folder, 'data');
    const words = ['serve', '--json', '--listen', this.#listen, '--data', data, '--log', 'warn'];
    const child = spawn(process.execPath, [PROGRAM, ...words, '--providers', join(this.#folder, 'providers')], {
      cwd: this.#folder,
      env: withoutSettings(process.env),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#server = child;
    const ready = await readyLine(child);
    this.#listen = new URL(text(ready, 'listening')).host;
    this.#adminKey = (await readFile(text(ready, 'admin_key_file'), 'utf8')).trim();
  }

  /** `kill -9`: no handler runs, nothing is finished. */
  async killServer(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async stopServer(): Promise<void> {
    await this.#end('SIGTERM');
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#server;
    this.#server = null;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const over = once(child, 'exit');
    child.kill(signal);
    await over;
  }

  /** One call of the API with the admin key; rejects unless it is answered with success. */
  async api(method: 'GET' | 'POST', path: string, body?: Json): Promise<Json> {
    const answer = await this.send(this.#adminKey, method, path, body);
    if (answer.status < 300) return asObject(JSON.parse(answer.body));
    throw new Error(`${method} ${path} was answered with ${answer.status}: ${answer.body}`);
  }

  send(key: string, method: 'GET' | 'POST', path: string, body?: Json): Promise<ApiAnswer> {
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
    return request({
      origin: this.origin,
      method,
      path,
      headers: body ? headers : { authorization: headers.authorization },
      timeoutMs: ANSWER_MS,
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#all.disposeAsync();
  }
}

const ANSWER_MS = 10_000;

/** Settings of whoever runs the demo are not for this server. */
function withoutSettings(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith('EVERGRANT_')));
}

/** What the server prints when it is ready; an error with its last words when it ends before. */
async function readyLine(child: ChildProcess): Promise<Json> {
  const said: string[] = [];
  if (!child.stdout || !child.stderr) throw new Error('the server has no pipes');
  createInterface(child.stderr).on('line', (line) => said.push(line) > LINES_KEPT && said.shift());
  const line = once(createInterface(child.stdout), 'line').then(([first]) => String(first));
  const end = once(child, 'exit').then(() => null);
  const first = await Promise.race([line, end]);
  if (first !== null) return asObject(JSON.parse(first));
  throw new EvergrantError('server_unavailable', `The server of the demo did not start: ${said.join(' ')}`, {
    remedy: 'Try it alone: npx evergrant serve',
  });
}
