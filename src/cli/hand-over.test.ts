/** Handing a token over to other programs: a command's environment, git, kubectl. */
import { createHash } from 'node:crypto';
import { describe, expect, test, vi } from 'vitest';
import { evergrant, fakeApi, problem } from '../../test/support/fake-api.ts';

vi.setConfig({ testTimeout: 60_000 });

const TOKEN = { json: { access_token: 'at-1', expires_in: 540, expires_at: '2026-11-22T10:00:00Z', scope: null } };
const SCRIPT = { 'GET /v1/grants/eol/token': TOKEN, 'POST /v1/grants/eol/token': TOKEN };
const env = (origin: string, more: Record<string, string> = {}) => ({
  EVERGRANT_SERVER: origin,
  EVERGRANT_API_KEY: 'key-of-a-test-that-is-long-enough',
  ...more,
});

describe('evergrant exec', () => {
  const show =
    'console.log(process.env.ACCESS_TOKEN, process.env.EVERGRANT_API_KEY, process.env.MINE); process.exit(7)';

  test('runs a command with a fresh token, without our own key, and ends as it ends', async () => {
    await using api = await fakeApi(SCRIPT);
    const ran = await evergrant(['exec', 'eol', '--', process.execPath, '-e', show], {
      env: env(api.origin, { MINE: 'kept' }),
    });
    expect(ran).toMatchObject({ exit: 7, out: 'at-1 undefined kept\n' });
  });

  test('puts the token where --as says', async () => {
    await using api = await fakeApi(SCRIPT);
    const print = 'console.log(process.env.TAP_TOKEN)';
    const ran = await evergrant(['exec', 'eol', '--as', 'TAP_TOKEN', '--', process.execPath, '-e', print], {
      env: env(api.origin),
    });
    expect(ran).toMatchObject({ exit: 0, out: 'at-1\n' });
  });

  test('without a token runs nothing', async () => {
    await using api = await fakeApi({
      'GET /v1/grants/eol/token': { status: 409, json: problem(409, 'authorization_required') },
    });
    const ran = await evergrant(['exec', 'eol', '--', process.execPath, '-e', show], { env: env(api.origin) });
    expect(ran).toMatchObject({ exit: 3, out: '' });
  });

  test('of a command that is not there is a wrong use', async () => {
    await using api = await fakeApi(SCRIPT);
    const ran = await evergrant(['exec', 'eol', '--', '/no/such/command'], { env: env(api.origin) });
    expect([ran.exit, ran.err]).toEqual([2, expect.stringContaining('/no/such/command')]);
  });
});

describe('evergrant git-credential', () => {
  const words = (operation: string) => ['git-credential', 'eol', '--host', 'bitbucket.org', operation];
  const asked = (host: string, protocol = 'https', more = '') => `protocol=${protocol}\nhost=${host}\n${more}\n`;

  test('gives the host its token, with the time of its end', async () => {
    await using api = await fakeApi(SCRIPT);
    const ran = await evergrant(words('get'), { env: env(api.origin), stdin: asked('bitbucket.org') });
    const end = Date.parse('2026-11-22T10:00:00Z') / 1000;
    expect(ran).toMatchObject({
      exit: 0,
      out: `username=x-token-auth\npassword=at-1\npassword_expiry_utc=${end}\n`,
    });
  });

  test.each([
    ['another host', asked('evil.example')],
    ['a host with another port', asked('bitbucket.org:8443')],
    ['clear text', asked('bitbucket.org', 'http')],
  ])('gives %s nothing, and asks for nothing', async (_name, stdin) => {
    await using api = await fakeApi(SCRIPT);
    const ran = await evergrant(words('get'), { env: env(api.origin), stdin });
    expect([ran.exit, ran.out, api.asked]).toEqual([0, '', []]);
  });

  test('tells of a token that the host refused', async () => {
    await using api = await fakeApi(SCRIPT);
    const stdin = asked('bitbucket.org', 'https', 'password=at-0\n');
    await evergrant(words('erase'), { env: env(api.origin), stdin });
    const rejected = createHash('sha256').update('at-0').digest('base64url');
    expect(api.asked).toMatchObject([{ method: 'POST', url: '/v1/grants/eol/token', body: { rejected } }]);
  });
});

test('a token for kubectl is an ExecCredential in the version in which it asked', async () => {
  await using api = await fakeApi(SCRIPT);
  const info = JSON.stringify({ apiVersion: 'client.authentication.k8s.io/v1beta1', kind: 'ExecCredential' });
  const ran = await evergrant(['token', 'eol', '--format', 'exec-credential'], {
    env: env(api.origin, { KUBERNETES_EXEC_INFO: info }),
  });
  expect(JSON.parse(ran.out)).toEqual({
    apiVersion: 'client.authentication.k8s.io/v1beta1',
    kind: 'ExecCredential',
    status: { token: 'at-1', expirationTimestamp: '2026-11-22T10:00:00Z' },
  });
});
