/** Grants without a person, as a script makes them: the real binary, against an API on loopback and against itself. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { evergrant, fakeApi, scratch } from '../../test/support/fake-api.ts';

// Every test starts processes, and a busy machine takes its time.
vi.setConfig({ testTimeout: 60_000 });

const APP = { id: 'app_1', provider: 'up', name: 'Up', client_id: 'c', variables: {} };
const GRANT = { id: 'grt_1', alias: 'up', provider: 'up', app: 'app_1', scheme: 'api_key', state: 'active' };
const page = (items: readonly object[]) => ({ json: { items, next: null } });
const env = (origin: string): Record<string, string> => ({
  EVERGRANT_SERVER: origin,
  EVERGRANT_API_KEY: 'k'.repeat(32),
});

function api(grant: object = GRANT, apps: readonly object[] = [APP], provider: object = {}) {
  return fakeApi({
    'GET /v1/apps': page(apps),
    'GET /v1/providers': page([{ id: 'up', ...provider }]),
    'POST /v1/apps': { status: 201, json: APP },
    'POST /v1/grants': { status: 201, json: grant },
    'GET /v1/grants/up': { json: grant },
    'PATCH /v1/grants/up': { json: grant },
  });
}

type Fake = Awaited<ReturnType<typeof api>>;
const sent = ({ asked }: Fake, method: string, url: string) =>
  asked.find((one) => one.method === method && one.url === url)?.body;

describe.concurrent('connect --scheme', () => {
  test.each([
    [['api_key'], 'the-key\n', { api_key: 'the-key' }],
    [['basic', '--username', 'emma'], 'pass word\n', { username: 'emma', password: 'pass word' }],
    [['password'], 'emma\npass word\n', { username: 'emma', password: 'pass word' }],
    [['jwt_bearer', '--subject', 'emma@example.com'], '', { subject: 'emma@example.com' }],
  ])('%j asks for what it needs, and no secret is an argument or shown', async (words, stdin, credentials) => {
    await using fake = await api();
    const ran = await evergrant(['connect', 'up', '--scheme', ...words, '--json'], { env: env(fake.origin), stdin });
    expect(ran.exit).toBe(0);
    expect(JSON.parse(ran.out)).toEqual(GRANT);
    expect(sent(fake, 'POST', '/v1/grants')).toEqual({ app: 'app_1', alias: 'up', scheme: words[0], credentials });
    expect(ran.out + ran.err).not.toMatch(/the-key|pass word/);
  });

  test('client_credentials asks for nothing, and sends the scope that is wanted', async () => {
    await using fake = await api();
    const words = ['--scheme', 'client_credentials', '--scope', 'read write', '--alias', 'nightly', '--owner', 'acme'];
    expect((await evergrant(['connect', 'app_1', ...words], { env: env(fake.origin) })).exit).toBe(0);
    expect(sent(fake, 'POST', '/v1/grants')).toEqual({
      app: 'app_1',
      alias: 'nightly',
      owner: 'acme',
      scope: 'read write',
      scheme: 'client_credentials',
    });
  });

  test('takes a key from a file that only its owner may read', async () => {
    using folder = scratch();
    const file = join(folder.path, 'key');
    writeFileSync(file, 'from-a-file\n', { mode: 0o600 });
    await using fake = await api();
    const words = ['connect', 'up', '--scheme', 'api_key'];
    const ran = await evergrant(words, { env: { ...env(fake.origin), EVERGRANT_CREDENTIAL_FILE: file } });
    expect(ran.exit).toBe(0);
    expect(sent(fake, 'POST', '/v1/grants')).toMatchObject({ credentials: { api_key: 'from-a-file' } });
    const shared = join(folder.path, 'shared');
    writeFileSync(shared, 'from-a-file\n', { mode: 0o644 });
    const refused = await evergrant(words, { env: { ...env(fake.origin), EVERGRANT_CREDENTIAL_FILE: shared } });
    expect(refused.exit).toBe(78);
  });

  test('makes an app where there is none: with a secret, with a key, and with nothing where a key is all there is', async () => {
    await using withSecret = await api(GRANT, [], { token_endpoint: 'https://up.example/token' });
    const secret = { env: env(withSecret.origin), stdin: 'cid\nvery secret\nemma\npass word\n' };
    expect((await evergrant(['connect', 'up', '--scheme', 'password'], secret)).exit).toBe(0);
    expect(sent(withSecret, 'POST', '/v1/apps')).toEqual({
      provider: 'up',
      client_id: 'cid',
      client_secret: 'very secret',
    });
    expect(sent(withSecret, 'POST', '/v1/grants')).toMatchObject({
      credentials: { username: 'emma', password: 'pass word' },
    });

    using folder = scratch();
    const file = join(folder.path, 'key.json');
    writeFileSync(file, '{"private_key": "…"}');
    await using withKey = await api(GRANT, [], { token_endpoint: 'https://up.example/token' });
    const key = ['--scheme', 'jwt_bearer', '--client-id', 'robot@example.com', '--private-key-file', file];
    expect((await evergrant(['connect', 'up', ...key], { env: env(withKey.origin) })).exit).toBe(0);
    expect(sent(withKey, 'POST', '/v1/apps')).toEqual({
      provider: 'up',
      client_id: 'robot@example.com',
      private_key: '{"private_key": "…"}',
    });

    await using bare = await api(GRANT, []);
    const words = ['connect', 'up', '--scheme', 'api_key'];
    expect((await evergrant(words, { env: env(bare.origin), stdin: 'the-key\n' })).exit).toBe(0);
    expect(sent(bare, 'POST', '/v1/apps')).toEqual({ provider: 'up' });
  });

  test.each([
    ['broken', 3],
    ['waiting', 75],
  ])('a grant that is %s after its first token ends with %d, and is printed', async (state, exit) => {
    await using fake = await api({ ...GRANT, state });
    const words = ['connect', 'up', '--scheme', 'client_credentials', '--json'];
    const ran = await evergrant(words, { env: env(fake.origin) });
    expect(ran.exit).toBe(exit);
    expect(JSON.parse(ran.out)).toMatchObject({ state });
  });

  test('an unknown scheme, nothing given, or a user name without a scheme is a wrong use', async () => {
    await using fake = await api();
    const run = (...words: string[]) => evergrant(['connect', 'up', ...words], { env: env(fake.origin) });
    expect(await run('--scheme', 'magic')).toMatchObject({ exit: 2, out: '' });
    expect(await run('--scheme', 'api_key')).toMatchObject({ exit: 2, out: '' });
    expect(await run('--username', 'emma')).toMatchObject({ exit: 2, out: '' });
    expect(fake.asked.filter(({ method }) => method === 'POST')).toEqual([]);
  });

  test('makes a grant in the folder of a server that does not run, and renew gives it another key', async () => {
    using folder = scratch();
    const credentials = { api_key: { header: 'X-Api-Key' } };
    const file = { id: 'up', name: 'Up', api_base_urls: ['http://127.0.0.1:9'], credentials, facts: [] };
    mkdirSync(join(folder.path, 'providers'));
    writeFileSync(join(folder.path, 'providers/up.json'), JSON.stringify(file));
    const run = (words: readonly string[], key = '') =>
      evergrant([...words, '--providers', 'providers', '--json'], {
        cwd: folder.path,
        env: { EVERGRANT_LISTEN: '127.0.0.1:9', ...(key ? { EVERGRANT_CREDENTIAL: key } : {}) },
      });
    const made = await run(['connect', 'up', '--scheme', 'api_key'], 'first-key');
    expect(made, made.err).toMatchObject({ exit: 0 });
    expect(JSON.parse(made.out)).toMatchObject({ alias: 'up', scheme: 'api_key', state: 'active', generation: 1 });
    const renewed = await run(['grants', 'renew', 'up'], 'second-key');
    expect(renewed, renewed.err).toMatchObject({ exit: 0 });
    expect(JSON.parse(renewed.out)).toMatchObject({ state: 'active', generation: 2 });
    expect(made.out + made.err + renewed.out + renewed.err).not.toMatch(/first-key|second-key/);
  });
});
