import { expect, test } from 'vitest';
import { type Said, START, TestClient } from './client.fixture.ts';
import { withControl } from './control.ts';

const KEY = 'the-control-key';

class Controller {
  readonly client = new TestClient();
  readonly #handle = withControl(this.client.server, KEY);

  async send(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Said> {
    const own = { authorization: `Bearer ${KEY}`, 'content-type': 'application/json', ...headers };
    const text = body === undefined ? '' : JSON.stringify(body);
    const request = { method, url: `/_emu/${path}`, headers: own, body: Buffer.from(text) };
    const given = await this.#handle(request);
    return { status: given.status, headers: given.headers, text: given.text, delivery: given.delivery.kind };
  }

  async value(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
    const said = await this.send(method, path, body);
    expect([said.status, said.text]).toEqual([200, said.text]);
    return JSON.parse(said.text) as Record<string, unknown>;
  }
}

test('the clock is advanced by seconds or set to an instant', async () => {
  const control = new Controller();
  expect(await control.value('POST', 'clock', { advance: 90 })).toEqual({ now: '2026-11-22T09:01:30.000Z' });
  expect(await control.value('POST', 'clock', { set: '2027-01-01T00:00:00Z' })).toEqual({
    now: '2027-01-01T00:00:00.000Z',
  });
});

test('faults are queued one by one or several at once, under the names of their list', async () => {
  const control = new Controller();
  await control.value('POST', 'faults', { fault: '429', retry_after: 3 });
  await control.value('POST', 'faults', [{ fault: 'drop-after-commit', match: { endpoint: 'token', n: 2 } }]);
  expect(control.client.server.state().faults.map((one) => one.fault)).toEqual(['http-429', 'drop-after-commit']);
  const said = await control.send('POST', 'faults', { fault: 'made-up' });
  expect([said.status, said.text.includes('unknown fault made-up')]).toEqual([400, true]);
});

test('refresh tokens can be expired and chains revoked', async () => {
  const control = new Controller();
  const { refresh } = await control.client.connect();
  await control.value('POST', 'expire', { tokens: 'refresh' });
  expect((await control.client.refresh(refresh)).text).toContain('The refresh token expired at');
  const next = await control.client.connect();
  expect(await control.value('POST', 'revoke', { user: 'nobody' })).toEqual({ revoked: 0 });
  expect(await control.value('POST', 'revoke', {})).toEqual({ revoked: 1 });
  expect((await control.client.at(600).refresh(next.refresh)).text).toContain('chainId');
});

test('access tokens and codes can be expired', async () => {
  const control = new Controller();
  const code = await control.client.code();
  await control.value('POST', 'expire', { tokens: 'code' });
  expect((await control.client.redeem(code)).text).toContain('The authorization code expired at');
  const { access } = await control.client.connect();
  await control.value('POST', 'expire', { tokens: 'access' });
  expect((await control.client.me(access)).status).toBe(401);
});

test('an authorization can be decided beforehand', async () => {
  const control = new Controller();
  await control.value('POST', 'authorize', { approve: true });
  expect((await control.client.authorize()).status).toBe(302);
  await control.value('POST', 'authorize', { interactive: true });
  expect((await control.client.authorize()).status).toBe(200);
  await control.value('POST', 'authorize', { deny: { once: true } });
  expect((await control.client.authorize()).headers.location).toContain('error=access_denied');
});

test('users and apps can be added, each app with a client id and secret of its own, and the rules changed [S30]', async () => {
  const control = new Controller();
  const user = await control.value('POST', 'users', { username: 'otto', password: 'geheim' });
  expect(user).toMatchObject({
    username: 'otto',
    password: 'geheim',
    totp_secret: expect.stringMatching(/^[A-Z2-7]{32}$/),
  });
  const app = await control.value('POST', 'apps', { name: 'another', redirect_uris: ['http://127.0.0.1:1/x'] });
  expect(app).toHaveProperty('client_secret');
  await control.value('POST', 'settings', { spacing: 10, allow_old_refresh_tokens: true });
  expect(control.client.server.state().switches).toMatchObject({ spacingMs: 10_000, allowOldRefreshTokens: true });
});

test('a rule that this provider does not have is refused in the spelling of the caller', async () => {
  const control = new Controller();
  const said = await control.send('POST', 'settings', { tokens_per_user_and_app: 5 });
  expect(said.status).toBe(400);
  expect(JSON.parse(said.text).error).toContain('no setting tokens_per_user_and_app here');
  expect(said.text).toContain('allow_old_refresh_tokens');
  expect(said.text).not.toMatch(/[a-z][A-Z]/);
});

test('an app can be given keys instead of its secret, and a user a country', async () => {
  const control = new Controller();
  const wrong = await control.send('POST', 'apps', { name: 'keyed', redirect_uris: [], jwks: { keys: [{}] } });
  expect([wrong.status, JSON.parse(wrong.text).error]).toEqual([400, 'jwks holds a key that is none']);
  expect((await control.send('POST', 'users', { username: 'anna', country: 'xx' })).status).toBe(400);
  await control.value('POST', 'users', { username: 'anna', country: 'be' });
  const { refresh_token } = await control.value('POST', 'grant', { user: 'anna' });
  expect(refresh_token).toMatch(/^stampBE001/);
});

test('the ledger lists every request and the tree of every family', async () => {
  const control = new Controller();
  const { refresh } = await control.client.connect();
  await control.client.at(570).refresh(refresh);
  const { requests, families } = await control.value('GET', 'ledger');
  expect(requests).toMatchObject([
    { n: 1, endpoint: 'authorize' },
    { decision: 'authorized' },
    { n: 3, decision: 'new' },
  ]);
  expect(families).toMatchObject([
    { revoked: null, tokens: [{ state: 'spent' }, { state: 'unspent', generation: 1 }] },
  ]);
});

test('a reset begins the seed again: the same tokens come', async () => {
  const control = new Controller();
  const before = await control.client.connect();
  await control.value('POST', 'clock', { advance: 5 });
  await control.value('POST', 'reset', {});
  expect(control.client.server.now()).toBe(START);
  expect(control.client.server.ledger()).toEqual([]);
  expect(await control.client.connect()).toEqual(before);
});

test('control needs its key, JSON, and its own host, and gives no page leave to call it', async () => {
  const control = new Controller();
  const right = await control.send('GET', 'state');
  expect(right.status).toBe(200);
  expect(Object.keys(right.headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
  expect((await control.send('GET', 'state', undefined, { authorization: 'Bearer wrong' })).status).toBe(401);
  expect((await control.send('POST', 'clock', { advance: 1 }, { 'content-type': 'text/plain' })).status).toBe(415);
  expect((await control.send('POST', 'clock', { advnce: 1 })).status).toBe(400);
  expect((await control.send('GET', 'nothing')).status).toBe(404);
  control.client.server.onlyFor(['127.0.0.1:5']);
  expect((await control.send('GET', 'state', undefined, { host: 'attacker.example' })).status).toBe(421);
  expect((await control.send('GET', 'state', undefined, { host: '127.0.0.1:5' })).status).toBe(200);
});
