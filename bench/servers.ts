/** The servers that are measured: Evergrant on a temporary folder, and the bare one beside it. Each is a process. */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import type { SameBytes } from './baseline.ts';

const PROGRAM = join(import.meta.dirname, '../bin/evergrant.js');

/** A provider that is never asked: grants come with an access token that outlives the bench. */
const PROVIDER = {
  id: 'bench',
  name: 'Bench',
  authorization_endpoint: 'http://127.0.0.1:9/authorize',
  token_endpoint: 'http://127.0.0.1:9/token',
  token_endpoint_auth_methods: ['client_secret_post'],
  policy: { rotate: { mode: 'never' }, life: { access_token: 86_400 } },
};
const LIFE_S = 86_400;
/** Those that are added together share a commit. */
const AT_ONCE = 32;

export interface Evergrant extends AsyncDisposable {
  readonly origin: string;
  readonly key: string;
  readonly folder: string;
  readonly pid: number;
  /** Grants with a live access token, `grant-{from}` and on. */
  addGrants(from: number, count: number): Promise<void>;
}

/** A server on a folder of its own, which goes with it. `change` goes into the provider's file; `more` are its flags. */
export async function startEvergrant(
  change: Readonly<Record<string, unknown>> = {},
  ...more: readonly string[]
): Promise<Evergrant> {
  const folder = await benchFolder(change);
  const server = await serve(folder, ...more);
  return {
    ...server,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}

/** A new folder with what a server needs. */
export async function benchFolder(change: Readonly<Record<string, unknown>> = {}): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'evergrant-bench-'));
  await mkdir(join(folder, 'providers'));
  await writeFile(join(folder, 'providers/bench.json'), JSON.stringify({ ...PROVIDER, ...change }));
  return folder;
}

/** Resolves once it listens. The folder stays. */
export async function serve(folder: string, ...more: readonly string[]): Promise<Evergrant> {
  const data = join(folder, 'data');
  const words = ['serve', '--json', '--listen', '127.0.0.1:0', '--data', data, '--log', 'error', ...more];
  const child = spawn(process.execPath, [PROGRAM, ...words, '--providers', join(folder, 'providers')], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = text(child.stderr);
  const ended = once(child, 'exit').then(async () => Promise.reject(new Error(`no start: ${await said}`)));
  const [line] = (await Promise.race([once(createInterface(child.stdout), 'line'), ended])) as [string];
  ended.catch(() => undefined);
  const origin = String((JSON.parse(line) as { listening: unknown }).listening);
  const key = (await readFile(join(data, 'admin.key'), 'utf8')).trim();
  let app: string | null = null;
  return {
    origin,
    key,
    folder,
    pid: child.pid ?? 0,
    async addGrants(from, count) {
      const registration = { provider: 'bench', client_id: 'bench', client_secret: 'none' };
      app ??= String((await post(origin, key, '/v1/apps', registration)).id);
      await addGrants(origin, key, app, from, count);
    },
    [Symbol.asyncDispose]: () => end(child),
  };
}

/** Tokens as long as those of the big providers are. */
async function addGrants(origin: string, key: string, app: string, from: number, count: number): Promise<void> {
  const add = (i: number) =>
    post(origin, key, '/v1/grants', {
      app,
      alias: `grant-${i}`,
      refresh_token: `refresh-${i}-`.padEnd(250, 'r'),
      access_token: `access-${i}-`.padEnd(400, 'a'),
      expires_in: LIFE_S,
      takeover: false,
    });
  for (let i = from; i < from + count; i += AT_ONCE) {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, from + count - i) }, (_, n) => add(i + n)));
  }
}

async function post(origin: string, key: string, path: string, body: unknown): Promise<Record<string, unknown>> {
  const answer = await fetch(origin + path, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${path} was answered with ${answer.status}: ${await answer.text()}`);
  return (await answer.json()) as Record<string, unknown>;
}

export interface Baseline extends AsyncDisposable {
  readonly origin: string;
  readonly pid: number;
}

/** A bare server that answers with the same bytes as this address does. */
export async function startBaseline(
  url: string,
  headers: Readonly<Record<string, string>>,
  body?: string,
): Promise<Baseline> {
  return startBytes(await sameBytes(url, headers, body));
}

/** A bare server that answers every request with these bytes. */
export async function startBytes(bytes: SameBytes): Promise<Baseline> {
  const child = fork(join(import.meta.dirname, 'baseline.ts'));
  child.send(bytes);
  const [port] = (await once(child, 'message')) as [number];
  return { origin: `http://127.0.0.1:${port}`, pid: child.pid ?? 0, [Symbol.asyncDispose]: () => end(child) };
}

/** Node adds these three itself. */
const BY_NODE = new Set(['date', 'connection', 'keep-alive']);

async function sameBytes(url: string, headers: Readonly<Record<string, string>>, body?: string): Promise<SameBytes> {
  const answer = await fetch(url, { method: 'POST', headers, ...(body === undefined ? {} : { body }) });
  if (answer.status !== 200) throw new Error(`${url} was answered with ${answer.status}`);
  const own = [...answer.headers].filter(([name]) => !BY_NODE.has(name)).flat();
  return { headers: own, body: await answer.text() };
}

export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const over = once(child, 'exit');
  child.kill('SIGTERM');
  await over;
}
