import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, test } from 'vitest';

const PROGRAM = join(import.meta.dirname, '../../bin/evergrant.js');

let folder: string;
let provider: Server;
/** What the provider does before it answers. */
let onAsked: () => void | Promise<void>;
let asked: number;
let child: ChildProcess | null;

async function giveTokens(response: ServerResponse): Promise<void> {
  asked++;
  await onAsked();
  const tokens = {
    access_token: `at-${asked}`,
    refresh_token: `rt-${asked}`,
    expires_in: 600,
    token_type: 'bearer',
  };
  response.setHeader('content-type', 'application/json').end(JSON.stringify(tokens));
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'evergrant-stop-'));
  mkdirSync(join(folder, 'providers'));
  asked = 0;
  onAsked = () => undefined;
  child = null;
  provider = createServer((request, response) => {
    request.resume();
    request.on('end', () => void giveTokens(response));
  });
  provider.listen(0, '127.0.0.1');
  await once(provider, 'listening');
  const origin = `http://127.0.0.1:${(provider.address() as AddressInfo).port}`;
  const file = {
    id: 'strict',
    name: 'Strict',
    authorization_endpoint: `${origin}/authorize`,
    token_endpoint: `${origin}/token`,
    token_endpoint_auth_methods: ['client_secret_post'],
    policy: { rotate: { mode: 'always' }, on_reuse: { refresh: 'revoke-family' } },
  };
  writeFileSync(join(folder, 'providers/strict.json'), JSON.stringify(file));
});
afterEach(async () => {
  if (child && child.exitCode === null && child.signalCode === null) {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  provider.closeAllConnections();
  provider.close();
  rmSync(folder, { recursive: true });
});

type Post = (path: string, body: unknown) => Promise<Record<string, unknown>>;

async function start(drain = '1s'): Promise<Post> {
  const data = join(folder, 'data');
  const words = ['serve', '--json', '--listen', '127.0.0.1:0', '--data', data, '--drain', drain, '--log', 'silent'];
  child = spawn(process.execPath, [PROGRAM, ...words, '--providers', join(folder, 'providers')], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  if (!child.stdout) throw new Error('the server has no output');
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  const { listening } = JSON.parse(line) as { listening: string };
  const key = readFileSync(join(data, 'admin.key'), 'utf8').trim();
  return async (path, body) => {
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
    const answer = await fetch(listening + path, { method: 'POST', headers, body: JSON.stringify(body) });
    return (await answer.json()) as Record<string, unknown>;
  };
}

test('a server whose database cannot be written ends when it is told to, and the next one has the token', async () => {
  const post = await start();
  const app = await post('/v1/apps', { provider: 'strict', client_id: 'client', client_secret: 'secret' });
  await post('/v1/grants', { app: app.id, alias: 'eol', refresh_token: 'rt-0', takeover: false });
  const other = new DatabaseSync(join(folder, 'data/evergrant.db'));
  const locked = new Promise<void>((resolve) => {
    onAsked = () => {
      other.exec('BEGIN IMMEDIATE');
      resolve();
    };
  });
  const caller = post('/v1/grants/eol/token', { wait: 120 });
  await locked;
  child?.kill('SIGTERM');
  const [code] = child ? ((await once(child, 'exit')) as [number]) : [null];
  expect(code).toBe(0);
  expect(await caller).toMatchObject({ code: 'shutting_down' });
  other.exec('ROLLBACK');
  other.close();
  onAsked = () => undefined;
  const again = await start();
  expect(await again('/v1/grants/eol/token', {})).toMatchObject({ access_token: 'at-1' });
  expect(asked).toBe(1);
});

test('a second signal ends a server at once that waits for an answer; the next one says that it is in doubt [S106]', async () => {
  const post = await start('120s');
  const app = await post('/v1/apps', { provider: 'strict', client_id: 'client', client_secret: 'secret' });
  await post('/v1/grants', { app: app.id, alias: 'eol', refresh_token: 'rt-0', takeover: false });
  const answers = Promise.withResolvers<void>();
  const wasAsked = new Promise<void>((resolve) => {
    onAsked = () => {
      resolve();
      return answers.promise;
    };
  });
  const caller = post('/v1/grants/eol/token', { wait: 120 }).catch(() => null);
  await wasAsked;
  const exit = child ? once(child, 'exit') : null;
  child?.kill('SIGTERM');
  // What a terminal sends twice within a moment is one signal.
  const again = setInterval(() => child?.kill('SIGTERM'), 50);
  expect(await exit).toEqual([143, null]);
  clearInterval(again);
  await caller;
  answers.resolve();
  const next = await start();
  expect(await next('/v1/grants/eol/token', {})).toMatchObject({ code: 'in_doubt', status: 503 });
  expect(asked).toBe(1);
});
