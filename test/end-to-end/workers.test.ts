/** One server of several processes, each of which ends in every way a process can end. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { freePort, startPostgres } from '../support/postgres.ts';
import { type Answer, isThere, Line, until, WorkersServer } from './support/workers-server.ts';

let server: WorkersServer;
afterEach(() => server?.close());

async function started(workers = 3, env: Readonly<Record<string, string>> = {}, ...more: readonly string[]) {
  server = await WorkersServer.create(env);
  await server.start(workers, ...more);
  return server.addApp();
}

const bearer = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });

function token(line: Line, key = server.adminKey, alias = 'eol'): Promise<Answer> {
  return line.ask('GET', `/v1/grants/${alias}/token`, bearer(key));
}

/** As a client does it, with its lasting refresh token. */
async function addClient(alias = 'eol') {
  const made = await server.api('POST', '/v1/clients', { name: 'Reports', grants: [alias] });
  const { client_id, client_secret, refresh_tokens } = made.json as {
    client_id: string;
    client_secret: string;
    refresh_tokens: Record<string, string>;
  };
  const form = { grant_type: 'refresh_token', refresh_token: refresh_tokens[alias] ?? '', client_id, client_secret };
  return { id: client_id, refresh: (line: Line) => line.ask('POST', '/oauth/token', { form }) };
}

test('[S84] 200 callers of three workers who find no living token cause one exchange, and all have its token', async () => {
  await startedWithGrant();
  const lines = await server.lines(4);
  const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => token(lines[i % lines.length] as Line)));
  expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
  expect(new Set(answers.map(({ json }) => json.access_token)).size).toBe(1);
  expect(server.exchanges()).toBe(1);
  // Whole-server figures come from any of them.
  const metrics = await lines[0]?.ask('GET', '/metrics');
  expect(metrics?.text).toContain('evergrant_exchanges_total{outcome="tokens"} 1');
  expect(metrics?.text).toContain('evergrant_grants{state="active"} 1');
});

async function startedWithGrant(workers = 3): Promise<string> {
  const app = await started(workers);
  await server.importGrant('eol', app);
  return app;
}

test('a client and an API key that are removed are refused by every worker soon after', async () => {
  await startedWithGrant();
  const lines = await server.lines();
  const key = await server.api('POST', '/v1/api-keys', { name: 'reader', scopes: ['token'] });
  const client = await addClient();
  const text = String(key.json.key);
  for (const line of lines) {
    expect((await token(line, text)).status).toBe(200);
    expect((await client.refresh(line)).status).toBe(200);
  }
  await server.api('DELETE', `/v1/api-keys/${String(key.json.id)}`);
  await server.api('DELETE', `/v1/clients/${client.id}`);
  const removedAt = Date.now();
  for (const line of lines) {
    await until('the key is refused', async () => (await token(line, text)).status === 401);
    await until('the client is refused', async () => (await client.refresh(line)).status === 401);
  }
  // Each is told before the one who asked for it is answered; by itself it would look again after five minutes.
  expect(Date.now() - removedAt).toBeLessThan(150_000);
});

test('a worker that is killed under load costs no exchange; the others go on, and another one takes its place', async () => {
  await startedWithGrant();
  const lines = await server.lines();
  for (const line of lines) expect((await token(line)).status).toBe(200);
  const [victim = 0, ...others] = server.workers();
  let isOver = false;
  const seen = { answered: 0, refused: 0, cut: 0 };
  const load = lines.map(async (line) => {
    while (!isOver) {
      const answer = await token(line).catch(() => null);
      if (!answer) seen.cut++;
      else if (answer.status === 200) seen.answered++;
      else seen.refused++;
    }
  });
  await until('there is load', () => seen.answered > 200);
  process.kill(victim, 'SIGKILL');
  await until('it is gone', () => !isThere(victim));
  const before = seen.answered;
  await until('the others go on', () => seen.answered > before + 100);
  await until('another one serves', () => server.output.match(/A worker serves/g)?.length === 4);
  isOver = true;
  await Promise.all(load);
  expect(seen.refused).toBe(0);
  expect(server.workers()).toEqual(expect.arrayContaining([...others]));
  expect(server.workers()).toHaveLength(3);
  expect(server.output).toContain('A worker ended; another one takes its place.');
  expect(server.exchanges()).toBe(1);
  for (const line of await server.lines()) expect((await token(line)).status).toBe(200);
  expect(server.exchanges()).toBe(1);
});

test('a worker that is killed in the middle of an exchange takes nothing but its own connections with it', async () => {
  await startedWithGrant();
  const lines = await server.lines();
  server.provider.control.addFaults([{ fault: 'delay', ms: 4_000, match: { endpoint: 'token' } }]);
  const asking = lines.map((line) => token(line).catch(() => null));
  await until('it is on the wire', isExchanging);
  process.kill(server.workers()[0] ?? 0, 'SIGKILL');
  const answers = await Promise.all(asking);
  const statuses = new Set(answers.map((answer) => answer?.status ?? 'cut off'));
  expect(statuses).toEqual(new Set([200, 'cut off']));
  expect(server.exchanges()).toBe(1);
});

test('a worker that hangs is ended, and another one takes its place', async () => {
  await startedWithGrant(2);
  const [hung = 0] = server.workers();
  process.kill(hung, 'SIGSTOP');
  await until('it is ended', () => !isThere(hung), 90_000);
  expect(server.output).toContain('A worker hangs, and is ended.');
  await until('another one serves', () => server.output.match(/A worker serves/g)?.length === 3);
  for (const line of await server.lines()) expect((await token(line)).status).toBe(200);
});

test('workers do not outlive a parent that is killed, and the next one has the chain', async () => {
  await startedWithGrant();
  const [line] = await server.lines();
  const before = await token(line as Line);
  expect(before.status).toBe(200);
  const workers = server.workers();
  server.signal('SIGKILL');
  await server.ended();
  await until('the workers are gone', () => !workers.some(isThere));
  await server.start(3);
  for (const one of await server.lines()) {
    expect((await token(one)).json.access_token).toBe(before.json.access_token);
  }
  expect(server.exchanges()).toBe(1);
});

test('while the parent hangs, workers serve only whom they know, exchange nothing, and go on when it does', async () => {
  await startedWithGrant();
  const lines = await server.lines();
  const known = await server.api('POST', '/v1/api-keys', { name: 'known', scopes: ['token'] });
  const client = await addClient();
  const [knownKey, unknownKey] = [String(known.json.key), `evg_${'x'.repeat(43)}`];
  for (const line of lines) {
    expect((await token(line, knownKey)).status).toBe(200);
    expect((await client.refresh(line)).status).toBe(200);
  }
  server.signal('SIGSTOP');
  try {
    const answers = await Promise.all(
      lines.map(async (line) => ({
        known: await token(line, knownKey),
        client: await client.refresh(line),
        unknown: await token(line, unknownKey),
        other: await line.ask('POST', '/v1/grants/eol/refresh', bearer(server.adminKey)),
        ready: await line.ask('GET', '/readyz'),
      })),
    );
    for (const one of answers) {
      expect(one.known.status).toBe(200);
      expect(one.client.status).toBe(200);
      expect(one.unknown).toMatchObject({ status: 503, json: { code: 'server_unavailable' } });
      expect(one.unknown.headers['retry-after']).toBeDefined();
      expect(one.other.status).toBe(503);
      expect(one.ready.status).toBe(503);
    }
    expect(server.exchanges()).toBe(1);
  } finally {
    server.signal('SIGCONT');
  }
  for (const line of lines) {
    await until('it is heard again', async () => (await token(line, unknownKey)).status === 401);
    expect((await token(line, knownKey)).status).toBe(200);
  }
  expect(server.workers()).toHaveLength(3);
  expect(server.output).not.toContain('A worker ended');
});

test.each(['SIGTERM', 'SIGINT'] as const)(
  'a %s in the middle of an exchange: its answer is kept and given, the server ends with 0',
  async (signal) => {
    await startedWithGrant();
    const [line, other] = await server.lines();
    server.provider.control.addFaults([{ fault: 'delay', ms: 4_000, match: { endpoint: 'token' } }]);
    const waiting = token(line as Line);
    await until('it is on the wire', isExchanging);
    const ready = () => other?.ask('GET', '/readyz').catch(() => null);
    expect((await ready())?.status).toBe(200);
    const workers = server.workers();
    server.signal(signal);
    // As a terminal and a container do it.
    for (const pid of workers) process.kill(pid, signal);
    await until('it is not ready any more', async () => (await ready())?.status !== 200);
    expect((await waiting).status).toBe(200);
    expect(await server.ended()).toBe(0);
    expect(workers.some(isThere)).toBe(false);
    await server.start(2);
    for (const one of await server.lines()) {
      expect((await token(one)).json.access_token).toBe((await waiting).json.access_token);
    }
    expect(server.exchanges()).toBe(1);
  },
);

async function isExchanging(): Promise<boolean> {
  const { json } = await server.api('GET', '/v1/grants/eol');
  return Number(json.exchanges) > 0 || json.state === 'in_doubt';
}

test('a whole authorization, a code of a client, its refresh, a device and the proxy work through workers in turn', async () => {
  const port = await freePort();
  const app = await started(3, {}, '--proxy-listen', `127.0.0.1:${port}`);
  await server.connect('eol', app);
  const lines = await server.lines(3);
  // Each request comes to another worker than the one before.
  let turn = 0;
  const any = () => lines[turn++ % lines.length] as Line;
  expect((await token(any())).status).toBe(200);

  const redirect_uri = 'https://reports.example/callback';
  const made = await server.api('POST', '/v1/clients', {
    name: 'Reports',
    grants: [],
    apps: [app],
    redirect_uris: [redirect_uri],
  });
  const { client_id, client_secret } = made.json as { client_id: string; client_secret: string };
  const verifier = 'v'.repeat(43);
  const code_challenge = createHash('sha256').update(verifier).digest('base64url');
  const asking = { client_id, redirect_uri, response_type: 'code', state: 's', code_challenge };
  const query = new URLSearchParams({ ...asking, code_challenge_method: 'S256' });
  const back = await server.throughProvider(`/oauth/authorize?${String(query)}`, {});
  const code = new URL(String(back.headers.location)).searchParams.get('code') ?? '';
  const credentials = { client_id, client_secret };
  const redeem = { grant_type: 'authorization_code', code, redirect_uri, code_verifier: verifier, ...credentials };
  const given = await any().ask('POST', '/oauth/token', { form: redeem });
  expect(given).toMatchObject({ status: 200, json: { token_type: 'Bearer' } });
  const refresh_token = String(given.json.refresh_token);
  for (const line of lines) {
    const form = { grant_type: 'refresh_token', refresh_token, ...credentials };
    const again = await line.ask('POST', '/oauth/token', { form });
    expect(again).toMatchObject({ status: 200, json: { refresh_token, access_token: given.json.access_token } });
  }

  const begun = await any().ask('POST', '/oauth/device_authorization', { form: credentials });
  const { device_code, user_code } = begun.json as { device_code: string; user_code: string };
  const poll = { grant_type: 'urn:ietf:params:oauth:grant-type:device_code', device_code, ...credentials };
  expect((await any().ask('POST', '/oauth/token', { form: poll })).json.error).toBe('authorization_pending');
  await server.throughProvider('/oauth/device', { user_code });
  const device = await any().ask('POST', '/oauth/token', { form: poll });
  expect(device).toMatchObject({ status: 200, json: { token_type: 'Bearer' } });

  const pushed = await any().ask('POST', '/oauth/par', {
    form: { ...asking, code_challenge_method: 'S256', ...credentials },
  });
  expect(pushed.status).toBe(201);
  for (const one of [refresh_token, String(device.json.access_token)]) {
    const said = await any().ask('POST', '/oauth/introspect', { form: { token: one, ...credentials } });
    expect(said.json).toMatchObject({ active: true, client_id });
  }
  await any().ask('POST', '/oauth/revoke', { form: { token: refresh_token, ...credentials } });
  for (const line of lines) {
    const form = { grant_type: 'refresh_token', refresh_token, ...credentials };
    const refused = async () => (await line.ask('POST', '/oauth/token', { form })).json.error === 'invalid_grant';
    await until('the revoked refresh token is refused', refused);
  }

  // The access token itself opens the proxy, also at a worker that has not served it yet.
  for (let i = 0; i < 6; i++) {
    const proxied = new Line(`http://127.0.0.1:${port}`);
    const answer = await proxied.ask('GET', '/proxy/eol/v1/current/Me', bearer(String(device.json.access_token)));
    proxied.close();
    expect([answer.status, answer.text.slice(0, 200)]).toEqual([200, expect.stringContaining('UserID')]);
  }
});

test('two servers of several processes share a PostgreSQL database as two nodes do', async () => {
  const postgres = await startPostgres();
  const env = {
    EVERGRANT_DATABASE_URL: await postgres.freshDatabase(),
    EVERGRANT_ROOT_KEY: '5a'.repeat(32),
    EVERGRANT_ADMIN_KEY: 'an-admin-key-that-all-nodes-of-the-test-know',
    EVERGRANT_PUBLIC_URL: 'http://127.0.0.1:1',
  };
  const app = await started(2, env);
  const other = server.beside();
  try {
    await other.start(2);
    await server.importGrant('eol', app);
    const [here, there] = [await server.lines(), await other.lines()];
    const answers = await Promise.all([...here, ...there, ...here, ...there].map((line) => token(line)));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(new Set(answers.map(({ json }) => json.access_token)).size).toBe(1);
    expect(server.exchanges()).toBe(1);
    const key = await server.api('POST', '/v1/api-keys', { name: 'reader', scopes: ['token'] });
    const client = await addClient();
    for (const line of there) {
      expect((await token(line, String(key.json.key))).status).toBe(200);
      expect((await client.refresh(line)).status).toBe(200);
    }
    await server.api('DELETE', `/v1/api-keys/${String(key.json.id)}`);
    await server.api('DELETE', `/v1/clients/${client.id}`);
    for (const line of there) {
      await until('the key is refused', async () => (await token(line, String(key.json.key))).status === 401);
      await until('the client is refused', async () => (await client.refresh(line)).status === 401);
    }
    other.signal('SIGTERM');
    expect(await other.ended()).toBe(0);
  } finally {
    await other.close();
    await postgres.close();
  }
});

test('secrets are in no argument, no environment and no line of the log of any of its processes', async () => {
  const rootKey = 'c3'.repeat(32);
  const adminKey = 'PLANTED-admin-key-0123456789abcdef-0123456789';
  const app = await started(2, { EVERGRANT_ROOT_KEY: rootKey, EVERGRANT_ADMIN_KEY: adminKey }, '--log', 'debug');
  await server.importGrant('eol', app);
  const lines = await server.lines();
  const key = await server.api('POST', '/v1/api-keys', { name: 'reader', scopes: ['token'] });
  const client = await addClient();
  const tokens = new Set<string>();
  for (const line of lines) {
    tokens.add(String((await token(line, String(key.json.key))).json.access_token));
    expect((await client.refresh(line)).status).toBe(200);
  }
  const root = Buffer.from(rootKey, 'hex');
  const secrets = [rootKey, root.toString('base64'), adminKey, server.provider.clientSecret, String(key.json.key)];
  secrets.push(...tokens);
  const seen = server
    .workers()
    .flatMap((pid) => [
      ['arguments', readFileSync(`/proc/${pid}/cmdline`, 'latin1')] as const,
      ['environment', readFileSync(`/proc/${pid}/environ`, 'latin1')] as const,
    ]);
  expect(seen).toHaveLength(4);
  for (const [what, text] of [...seen, ['output', server.output] as const]) {
    expect([what, secrets.filter((secret) => text.includes(secret))]).toEqual([what, []]);
  }
  expect(server.output).toContain('"worker":1');
  expect(readFileSync(`/proc/${server.pid}/environ`, 'latin1')).toContain(adminKey);
});
