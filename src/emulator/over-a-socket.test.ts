import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { type Emulator, emulator, emulatorWithoutSocket } from '../emulator.ts';

const CALLBACK = 'http://127.0.0.1:8787/callback';

/** Posts a form to where a page's form points, without following the redirect. */
async function post(server: Emulator, address: string, fields: Record<string, string>): Promise<Response> {
  return fetch(new URL(address, server.baseUrl), {
    method: 'POST',
    body: new URLSearchParams(fields),
    redirect: 'manual',
  });
}

async function actionOf(response: Response): Promise<string> {
  return /action="([^"]+)"/.exec(await response.text())?.[1] ?? '';
}

async function codeByForms(server: Emulator): Promise<string> {
  const query = new URLSearchParams({ client_id: server.clientId, redirect_uri: CALLBACK, response_type: 'code' });
  const { username, password } = server.user;
  let page = await fetch(`${server.baseUrl}/api/oauth2/auth?${String(query)}`);
  page = await post(server, await actionOf(page), { username, password });
  page = await post(server, await actionOf(page), { code: server.control.totpCode() });
  page = await post(server, await actionOf(page), { decision: 'approve' });
  return new URL(page.headers.get('location') ?? '').searchParams.get('code') ?? '';
}

function tokenRequest(server: Emulator, fields: Record<string, string>): Promise<Response> {
  const client = { client_id: server.clientId, client_secret: server.clientSecret };
  return post(server, '/api/oauth2/token', { ...client, ...fields });
}

test('the whole code flow works over a real socket with plain forms', async () => {
  await using server = await emulator('exact-online');
  const code = await codeByForms(server);
  const redeemed = await tokenRequest(server, { grant_type: 'authorization_code', code, redirect_uri: CALLBACK });
  const first = (await redeemed.json()) as Record<string, string>;
  expect(first).toMatchObject({ token_type: 'bearer', expires_in: '600' });
  server.control.advance(570_000);
  const refreshed = await tokenRequest(server, {
    grant_type: 'refresh_token',
    refresh_token: first.refresh_token ?? '',
  });
  const second = (await refreshed.json()) as Record<string, string>;
  const headers = { authorization: `Bearer ${second.access_token}` };
  const me = await fetch(`${server.baseUrl}/api/v1/current/Me`, { headers });
  expect(await me.json()).toMatchObject({ d: { results: [{ UserName: server.user.username }] } });
});

test('faults reach the socket: cut, reset, dropped and dripping answers', async () => {
  await using server = await emulator('exact-online', { switches: { spacingExempt: true } });
  server.control.preselect({ decision: 'approve', user: null, once: false });
  const query = new URLSearchParams({ client_id: server.clientId, redirect_uri: CALLBACK, response_type: 'code' });
  const redirect = await fetch(`${server.baseUrl}/api/oauth2/auth?${String(query)}`, { redirect: 'manual' });
  const code = new URL(redirect.headers.get('location') ?? '').searchParams.get('code') ?? '';
  const redeem = { grant_type: 'authorization_code', code, redirect_uri: CALLBACK };
  const { refresh_token } = (await (await tokenRequest(server, redeem)).json()) as { refresh_token: string };
  const refresh = () => tokenRequest(server, { grant_type: 'refresh_token', refresh_token });
  for (const fault of ['truncate-body', 'reset-mid-body', 'drop-before-commit', 'drop-after-commit'] as const) {
    server.control.addFaults([{ fault }]);
    await expect(refresh().then((answer) => answer.text())).rejects.toThrow();
  }
  server.control.addFaults([{ fault: 'slow-drip', ms: 1 }]);
  expect(await (await refresh()).json()).toHaveProperty('refresh_token');
});

test('a request that names another host is refused', async () => {
  await using server = await emulator('exact-online');
  const { port } = new URL(server.baseUrl);
  const socket = connect(Number(port), '127.0.0.1');
  socket.end('GET /api/v1/current/Me HTTP/1.1\r\nHost: attacker.example\r\nConnection: close\r\n\r\n');
  expect(await text(socket)).toMatch(/^HTTP\/1\.1 421 /);
});

test('many emulators live in one process and know nothing of each other', async () => {
  await using one = await emulator('exact-online', { seed: 1 });
  await using other = await emulator('exact-online', { seed: 2 });
  expect(one.baseUrl).not.toBe(other.baseUrl);
  expect(one.clientSecret).not.toBe(other.clientSecret);
  one.control.preselect({ decision: 'approve', user: null, once: false });
  expect(other.control.state().preselection).toEqual({ decision: 'interactive' });
});

test('the control address works from another process with its key', async () => {
  await using server = await emulator('exact-online');
  const headers = { authorization: `Bearer ${server.controlKey}` };
  const state = await fetch(`${server.controlUrl}/state`, { headers });
  expect(await state.json()).toMatchObject({ speed: 1, users: [{ username: server.user.username }] });
});

test('a simulator calls the same server without a socket', async () => {
  const server = emulatorWithoutSocket('exact-online', { baseUrl: 'http://exact.test' });
  const url = `${server.baseUrl}/api/v1/current/Me`;
  expect((await server.handle({ method: 'GET', url, headers: {}, body: new Uint8Array() })).status).toBe(401);
  expect(server.providerFile).toHaveProperty('token_endpoint', 'http://exact.test/api/oauth2/token');
});

test('an unknown provider and an impossible speed are refused', async () => {
  await expect(emulator('made-up')).rejects.toThrow(/there is: .*exact-online/);
  await expect(emulator('exact-online', { speed: 1000 })).rejects.toThrow('1 to 180');
});

test('a provider that went away refuses connections, and comes back at its address with all it knew', async () => {
  await using server = await emulator('exact-online');
  await codeByForms(server);
  await server.goAway();
  await expect(fetch(server.baseUrl)).rejects.toThrow('fetch failed');
  await server.comeBack();
  expect((await fetch(server.baseUrl)).status).toBe(404);
  expect(server.control.ledger()).not.toEqual([]);
});
