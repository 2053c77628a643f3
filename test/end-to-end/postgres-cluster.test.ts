/** Three whole servers on one PostgreSQL, against an emulated Exact Online, while the database does what databases do. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type RunningApp, startApp } from '../../src/app.ts';
import { type Emulator, emulator } from '../../src/emulator.ts';
import { type FaultProxy, faultProxy } from '../support/fault-proxy.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { settingsFor } from '../support/settings.ts';
import { ShiftedClock } from '../support/shifted-clock.ts';
import { askAll } from './support/postgres-store.ts';

const SPACING_MS = 600_000;
/** A node that hears nothing looks again after five minutes. */
const LOOKED_AGAIN_MS = 300_000;
const ROOT_KEY = '5a'.repeat(32);
const ADMIN_KEY = 'an admin key that all nodes of the test know';

let server: TestPostgres;
let url: string;
let proxies: readonly FaultProxy[];
let provider: Emulator;
let folder: string;
let clock: ShiftedClock;
let nodes: readonly RunningApp[];

beforeEach(async () => {
  server = await startPostgres();
  url = await server.freshDatabase();
  folder = mkdtempSync(join(tmpdir(), 'evergrant-cluster-'));
  clock = new ShiftedClock();
  provider = await emulator('exact-online', { seed: 1, clock });
  mkdirSync(join(folder, 'providers'));
  writeFileSync(join(folder, 'providers', 'exact.json'), JSON.stringify(provider.providerFile));
  proxies = await Promise.all([1, 2, 3].map(() => faultProxy(url)));
  nodes = await Promise.all(
    proxies.map((proxy, i) =>
      startApp(
        settingsFor(join(folder, `node-${i}`), {
          databaseUrl: proxy.url,
          rootKey: ROOT_KEY,
          adminKey: ADMIN_KEY,
          providersFolder: join(folder, 'providers'),
          publicUrl: 'http://127.0.0.1:1',
        }),
        'none',
        { clock },
      ),
    ),
  );
});
afterEach(async () => {
  for (const proxy of proxies) proxy.mend();
  await Promise.all(nodes.map((node) => node.close()));
  for (const proxy of proxies) await proxy.close();
  await provider.close();
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Body {
  readonly id: string;
  readonly access_token: string;
  readonly authorization_url: string;
  readonly code: string;
  readonly key: string;
  readonly client_id: string;
  readonly client_secret: string;
}

type Method = 'GET' | 'POST' | 'DELETE';

async function call(node: RunningApp | undefined, method: Method, path: string, body?: unknown, key = ADMIN_KEY) {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const answer = await node?.request({
    method,
    path,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: answer?.status, headers: answer?.headers ?? {}, body: JSON.parse(answer?.body || '{}') as Body };
}

/** The whole authorization, as a browser does it. */
async function connect(node: RunningApp | undefined, alias: string): Promise<void> {
  const { clientId, clientSecret, providerFile } = provider;
  const registration = { provider: providerFile.id, client_id: clientId, client_secret: clientSecret };
  const app = await call(node, 'POST', '/v1/apps', registration);
  const grant = await call(node, 'POST', '/v1/grants', { app: app.body.id, alias });
  provider.control.preselect({ decision: 'approve', user: null, once: true });
  const ticket = new URL(grant.body.authorization_url).pathname;
  const opened = await node?.request({ method: 'POST', path: ticket, headers: { origin: 'http://127.0.0.1:1' } });
  const cookie = (opened?.headers['set-cookie'] ?? '').split(';')[0] ?? '';
  const there = await fetch(opened?.headers.location ?? '', { redirect: 'manual' });
  const back = new URL(there.headers.get('location') ?? '');
  await node?.request({ method: 'GET', path: `${back.pathname}${back.search}`, headers: { cookie } });
}

/** Asks until it is told a token; 503 means: later. */
async function token(node: RunningApp | undefined): Promise<string> {
  for (;;) {
    const { status, body } = await call(node, 'POST', '/v1/grants/eol/token', { min_ttl: 60, wait: 30 });
    if (status === 200) return body.access_token;
    if (status !== 503) throw new Error(`${status} ${JSON.stringify(body)}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

function onEach(fault: (proxy: FaultProxy) => void): void {
  for (const proxy of proxies) fault(proxy);
}

function exchanges(): number {
  const issued = provider.control.ledger().filter((entry) => entry.endpoint === 'token' && entry.issued.length > 0);
  return issued.length - 1;
}

test('[S84] three servers on PostgreSQL make one exchange a rotation, whatever the database does meanwhile', async () => {
  await connect(nodes[0], 'eol');
  const first = await Promise.all(nodes.map(token));
  expect(new Set(first).size).toBe(1);
  expect(exchanges()).toBe(0);

  const faults: readonly (readonly [string, () => void | Promise<void>])[] = [
    ['nothing', () => undefined],
    ['a restart of the database', () => server.restart('immediate')],
    ['lost acknowledgements', () => onEach((proxy) => proxy.loseNextCommits(2))],
    ['connections that break', () => onEach((proxy) => proxy.breakAll())],
  ];
  for (const [rotation, [name, fault]] of faults.entries()) {
    clock.advance(SPACING_MS);
    await fault();
    const tokens = await Promise.all(Array.from({ length: 12 }, (_, i) => token(nodes[i % 3])));
    expect(new Set(tokens).size, name).toBe(1);
    expect(exchanges(), name).toBe(rotation + 1);
  }
});

test('[S84] [S121] a server that is cut off from the database leaves the grants to the others, and finds its way back', async () => {
  await connect(nodes[0], 'eol');
  await token(nodes[0]);
  proxies[0]?.cut();
  clock.advance(SPACING_MS);
  const [one, other] = await Promise.all([token(nodes[1]), token(nodes[2])]);
  expect(one).toBe(other);
  proxies[0]?.mend();
  expect(await token(nodes[0])).toBe(one);
  expect(exchanges()).toBe(1);
});

test('[S33] no token, client secret or key stands in the PostgreSQL database in clear', async () => {
  await connect(nodes[0], 'eol');
  const tokens = [await token(nodes[0])];
  clock.advance(SPACING_MS);
  tokens.push(await token(nodes[1]));
  const tables = (await askAll(url, `SELECT tablename FROM pg_tables WHERE tablename LIKE 'evergrant%'`)).split('\n');
  const rows = await Promise.all(tables.map((table) => askAll(url, `SELECT one::text FROM ${table} one`)));
  const everything = rows.join('\n');
  expect(everything).toContain('eol');
  for (const secret of [...tokens, provider.clientSecret, ROOT_KEY, ADMIN_KEY]) {
    expect(everything).not.toContain(secret);
    expect(everything).not.toContain(Buffer.from(secret).toString('base64').slice(0, -4));
  }
});

describe('who was revoked on one node', () => {
  /** One who reads tokens by an API key, and one by client credentials; each gives the status of an answer. */
  async function readers() {
    await connect(nodes[0], 'eol');
    await Promise.all(nodes.map(token));
    const key = await call(nodes[0], 'POST', '/v1/api-keys', { name: 'reader', scopes: ['token'] });
    const client = await call(nodes[0], 'POST', '/v1/clients', { name: 'reports', grants: ['eol'] });
    const { client_id, client_secret } = client.body;
    const form = new URLSearchParams({ grant_type: 'client_credentials', client_id, client_secret }).toString();
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const byKey = async (node?: RunningApp) =>
      (await call(node, 'GET', '/v1/grants/eol/token', undefined, key.body.key)).status;
    const byClient = async (node?: RunningApp) =>
      (await node?.request({ method: 'POST', path: '/oauth/token', headers, body: form }))?.status;
    for (const read of [byKey, byClient]) {
      for (const node of nodes) expect([await read(node), await read(node)]).toEqual([200, 200]);
    }
    return { byKey, byClient, keyPath: `/v1/api-keys/${key.body.id}`, clientPath: `/v1/clients/${client_id}` };
  }

  test('is refused by all, long before they would look again by themselves', async () => {
    const { byKey, byClient, keyPath, clientPath } = await readers();
    const start = performance.now();
    await call(nodes[0], 'DELETE', keyPath);
    await call(nodes[0], 'DELETE', clientPath);
    for (const read of [byKey, byClient]) {
      for (const node of nodes) while ((await read(node)) !== 401) await sleep(10);
    }
    expect(performance.now() - start).toBeLessThan(LOOKED_AGAIN_MS / 2);
  });

  test('is served for five minutes at most by a node that cannot reach the database, and not at all by one that can', async () => {
    const { byKey, byClient, keyPath, clientPath } = await readers();
    proxies[1]?.cut();
    await call(nodes[0], 'DELETE', keyPath);
    await call(nodes[0], 'DELETE', clientPath);
    clock.advance(250_000);
    for (const read of [byKey, byClient]) {
      expect(await read(nodes[1])).toBe(200);
      while ((await read(nodes[2])) !== 401) await sleep(10);
    }
    clock.advance(60_000);
    for (const read of [byKey, byClient]) expect(await read(nodes[1])).toBe(503);
    proxies[1]?.mend();
    for (const read of [byKey, byClient]) while ((await read(nodes[1])) !== 401) await sleep(10);
  });
});
