/** The commands as a script sees them: the real binary against an API on loopback. */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { evergrant, fakeApi, problem, scratch, serving } from '../../test/support/fake-api.ts';

// Every test starts processes, and a busy machine takes its time.
vi.setConfig({ testTimeout: 60_000 });

const KEY = 'key-of-a-test-that-is-long-enough';
const TOKEN = {
  access_token: 'at-1',
  token_type: 'Bearer',
  expires_in: 540,
  expires_at: '2026-11-22T10:00:00Z',
  scope: 'a',
};
const GRANT = {
  id: 'grt_1',
  alias: 'eol',
  provider: 'exact-online',
  app: 'app_1',
  owner: null,
  labels: {},
  account: { subject: '42', label: 'Jan \u001b[31mred' },
  scope: { requested: [], granted: null, missing: [] },
  state: 'active',
  state_since: '2026-11-22T09:00:00Z',
  access_token_expires_at: '2026-11-22T10:00:00Z',
  next_exchange_at: null,
  expires: { idle_at: null, absolute_at: null, earliest_at: null },
  generation: 1,
  exchanges: 7,
  clients: [],
  created_at: '2026-11-22T09:00:00Z',
};
const PENDING = { ...GRANT, state: 'pending', generation: 0 };
const LINK = {
  authorization_url: 'http://127.0.0.1:1/authorize/ticket',
  authorization_expires_at: '2999-01-01T00:00:00Z',
  expires_at: '2999-01-01T00:00:00Z',
};
const APP = { id: 'app_1', provider: 'exact-online', client_id: 'cid', name: 'exact', variables: {}, has_secret: true };
const page = (items: readonly unknown[]): { json: unknown } => ({ json: { items, next: null } });
const PROVIDERS = page([{ id: 'exact-online', name: 'Exact Online', policy: { class: 'one-time', min_spacing: 570 } }]);

const env = (origin: string): Record<string, string> => ({ EVERGRANT_SERVER: origin, EVERGRANT_API_KEY: KEY });

describe.concurrent('evergrant token', () => {
  test('prints the access token and nothing else', async () => {
    await using api = await fakeApi({ 'GET /v1/grants/eol/token': { json: TOKEN } });
    const ran = await evergrant(['token', 'eol', '--min-ttl', '60'], { env: env(api.origin) });
    expect(ran).toEqual({ exit: 0, out: 'at-1\n', err: '' });
    expect(api.asked[0]).toMatchObject({ url: '/v1/grants/eol/token?min_ttl=60', authorization: `Bearer ${KEY}` });
  });

  test.each([
    ['header', 'Authorization: Bearer at-1\n'],
    ['env', 'ACCESS_TOKEN=at-1\n'],
    ['json', `${JSON.stringify(TOKEN)}\n`],
  ])('--format %s', async (format, expected) => {
    await using api = await fakeApi({ 'GET /v1/grants/eol/token': { json: TOKEN } });
    expect((await evergrant(['token', 'eol', '--format', format], { env: env(api.origin) })).out).toBe(expected);
  });

  test.each([
    [409, 'authorization_required', 3],
    [503, 'too_early', 75],
    [404, 'not_found', 1],
    [401, 'unauthorized', 1],
    [400, 'min_ttl_impossible', 2],
    [503, 'a_code_of_tomorrow', 75],
  ])('the answer %i %s ends with exit code %i, a remedy and no output', async (status, code, exit) => {
    const json = problem(status, code, { renew_url: 'http://127.0.0.1:1/grants/eol' });
    await using api = await fakeApi({ 'GET /v1/grants/eol/token': { status, json, headers: { 'retry-after': '7' } } });
    const ran = await evergrant(['token', 'eol'], { env: env(api.origin) });
    expect(ran).toMatchObject({ exit, out: '' });
    expect(ran.err).toContain(`It is ${code}.\nRemedy: Mend ${code}.`);
    expect(ran.err).toContain('Try again in 7 s.');
    const asJson = await evergrant(['token', 'eol', '--json'], { env: env(api.origin) });
    expect(JSON.parse(asJson.err)).toMatchObject({ status, code, remedy: `Mend ${code}.`, retry_after: 7 });
  });

  test('a server that was named and does not listen means: try later', async () => {
    const ran = await evergrant(['token', 'eol'], { env: env('http://127.0.0.1:9') });
    expect(ran).toMatchObject({ exit: 75, out: '' });
    expect(ran.err).toContain('Remedy:');
  });

  // The plain form is read without commander; whatever else is written means the same, and mistakes are told alike.
  test.each([
    [
      ['eol', '--format', 'header', '--min-ttl', '60'],
      ['--min-ttl=60', '--format=header', 'eol'],
    ],
    [
      ['eol', '--wait', '9', '--json'],
      ['--json', '--wait=9', '--', 'eol'],
    ],
  ])('%j prints the same as %j', async (plain, other) => {
    const TOKENS = { 'GET /v1/grants/eol/token': { json: TOKEN }, 'POST /v1/grants/eol/token': { json: TOKEN } };
    await using api = await fakeApi(TOKENS);
    const ran = await evergrant(['token', ...plain], { env: env(api.origin) });
    expect(ran).toMatchObject({ exit: 0, err: '' });
    expect(await evergrant(['token', ...other], { env: env(api.origin) })).toEqual(ran);
    const [first, second] = api.asked;
    expect(second).toEqual(first);
  });

  test.each([
    [['eol', 'more']],
    [[]],
    [['eol', '--format', 'xml']],
    [['eol', '--min-ttl', 'soon']],
    [['eol', '--wat']],
  ])('%j is a wrong use', async (words) => {
    await using api = await fakeApi({});
    expect(await evergrant(['token', ...words], { env: env(api.origin) })).toMatchObject({ exit: 2, out: '' });
    expect(api.asked).toEqual([]);
  });

  test('an answer of something else than Evergrant is not taken for a token', async () => {
    await using api = await fakeApi({ 'GET /v1/grants/eol/token': { text: '<html>hello</html>' } });
    expect(await evergrant(['token', 'eol'], { env: env(api.origin) })).toMatchObject({ exit: 1, out: '' });
  });

  test('an API key is not sent in clear text to another machine', async () => {
    const ran = await evergrant(['token', 'eol'], { env: env('http://grants.example') });
    expect(ran).toMatchObject({ exit: 78 });
    expect(ran.err).toContain('clear text');
  });

  test('the key is read from the data folder when none is set', async () => {
    using folder = scratch();
    writeFileSync(join(folder.path, 'admin.key'), `${KEY}\n`, { mode: 0o600 });
    await using api = await fakeApi({ 'GET /v1/grants/eol/token': { json: TOKEN } });
    const ran = await evergrant(['token', 'eol', '--server', api.origin, '--data', folder.path]);
    expect(ran.exit).toBe(0);
    expect(api.asked[0]?.authorization).toBe(`Bearer ${KEY}`);
  });

  test('loads neither web framework, schema library, command-line library nor server, and of Node the least', async () => {
    await using api = await fakeApi({ 'GET /v1/grants/eol/token': { json: TOKEN } });
    const hook = `data:text/javascript,${encodeURIComponent(
      "import { registerHooks } from 'node:module'; registerHooks({ load(url, context, next) { if (/fastify|zod|undici|commander|app\\.ts|did-you-mean|^node:/.test(url)) process.exit(99); return next(url, context); } });",
    )}`;
    const ran = await evergrant(['token', 'eol'], { env: { ...env(api.origin), NODE_OPTIONS: `--import ${hook}` } });
    expect(ran).toMatchObject({ exit: 0, out: 'at-1\n' });
  });
});

describe.concurrent('evergrant grants', () => {
  test('list draws an aligned table without colour in a pipe, and shows no control characters of accounts', async () => {
    await using api = await fakeApi({ 'GET /v1/grants': page([GRANT]) });
    const { out } = await evergrant(['grants', 'list'], { env: env(api.origin) });
    expect(out.split('\n')[0]).toMatch(/^ALIAS {2}PROVIDER {6}ACCOUNT +STATE/);
    expect(out).not.toContain('\u001b');
    expect(out).toContain('Jan red');
  });

  test('list --json prints one object a line, over all pages', async () => {
    await using api = await fakeApi({
      'GET /v1/grants': ({ url }) =>
        url.includes('after=') ? page([{ ...GRANT, alias: 'b' }]) : { json: { items: [GRANT], next: 'more' } },
    });
    const { out } = await evergrant(['grants', 'list', '--state', 'broken', '--json'], { env: env(api.origin) });
    const lines = out.trimEnd().split('\n');
    expect(lines.map((line) => Reflect.get(JSON.parse(line), 'alias'))).toEqual(['eol', 'b']);
    expect(api.asked[0]?.url).toContain('state=broken');
  });

  test('show draws the chain as a line of its last links', async () => {
    const link = (type: string, fingerprint: string) => ({
      type,
      fingerprint,
      at: '2026-11-22T09:00:00Z',
      generation: 1,
    });
    await using api = await fakeApi({
      'GET /v1/grants/eol': { json: GRANT },
      'GET /v1/grants/eol/history': page([link('received', 'bbbbbbbbbb'), link('authorized', 'aaaaaaaaaa')]),
    });
    const { out } = await evergrant(['grants', 'show', 'eol'], { env: env(api.origin) });
    expect(out).toMatch(/◆ aaaaaaaa .* ── ● bbbbbbbb/);
  });

  test('refresh tells how long the new token lives and does not print it', async () => {
    await using api = await fakeApi({ 'POST /v1/grants/eol/refresh': { json: TOKEN } });
    const plain = await evergrant(['grants', 'refresh', 'eol'], { env: env(api.origin) });
    const json = await evergrant(['grants', 'refresh', 'eol', '--json'], { env: env(api.origin) });
    expect(plain.out).toContain('9 min');
    expect(plain.out + json.out).not.toContain('at-1');
  });
});

describe.concurrent('evergrant connect', () => {
  const script = {
    'GET /v1/apps': page([APP]),
    'POST /v1/grants': { status: 201, json: { ...PENDING, ...LINK } },
    'GET /v1/grants': page([PENDING]),
  };

  test('prints the link for the person, waits, and prints the grant', async () => {
    let polls = 0;
    await using api = await fakeApi({
      ...script,
      'GET /v1/grants/grt_1': () => ({ json: ++polls < 2 ? PENDING : GRANT }),
    });
    const words = ['connect', 'exact-online', '--alias', 'eol', '--label', 'team=a', '--label', 'stage=b', '--json'];
    const ran = await evergrant(words, { env: env(api.origin) });
    expect(ran.exit).toBe(0);
    const [link, grant] = ran.out
      .trimEnd()
      .split('\n')
      .map((line): unknown => JSON.parse(line));
    expect(link).toMatchObject({ authorization_url: LINK.authorization_url });
    expect(grant).toMatchObject({ alias: 'eol', state: 'active' });
    expect(ran.err).toContain(LINK.authorization_url);
    expect(api.asked.find(({ method }) => method === 'POST')?.body).toMatchObject({
      app: 'app_1',
      alias: 'eol',
      labels: { team: 'a', stage: 'b' },
    });
  });

  test('at a provider without an app takes client id and secret as lines from stdin', async () => {
    await using api = await fakeApi({
      ...script,
      'GET /v1/apps': page([]),
      'GET /v1/providers': PROVIDERS,
      'POST /v1/apps': { status: 201, json: APP },
      'GET /v1/grants/grt_1': { json: GRANT },
    });
    const ran = await evergrant(['connect', 'exact-online'], { env: env(api.origin), stdin: 'cid\nvery secret\n' });
    expect(ran.exit).toBe(0);
    expect(api.asked.find(({ url }) => url === '/v1/apps')?.method).toBe('POST');
    const made = api.asked.find(({ method, url }) => method === 'POST' && url === '/v1/apps');
    expect(made?.body).toEqual({ provider: 'exact-online', client_id: 'cid', client_secret: 'very secret' });
    expect(ran.out + ran.err).not.toContain('very secret');
  });

  test('of an unknown provider asks for no secret and says which one was probably meant', async () => {
    await using api = await fakeApi({ ...script, 'GET /v1/providers': PROVIDERS });
    const ran = await evergrant(['connect', 'exact-onlin'], { env: env(api.origin), stdin: 'cid\nsecret\n' });
    expect(ran.exit).toBe(2);
    expect(ran.err).toContain('Did you mean exact-online?');
  });

  test('--paste shows the address of the provider and sends the pasted return URL whole', async () => {
    await using api = await fakeApi({
      ...script,
      'POST /v1/grants/grt_1/authorization/open': { json: { location: 'https://provider.example/auth' } },
      'POST /v1/grants/grt_1/authorization/paste': { json: { outcome: 'done', grant: GRANT, joined: false } },
    });
    const url = 'http://127.0.0.1:1/callback?code=a%21b&state=s';
    const ran = await evergrant(['connect', 'app_1', '--paste'], { env: env(api.origin), stdin: `${url}\n` });
    expect(ran.exit).toBe(0);
    expect(ran.err).toContain('https://provider.example/auth');
    expect(api.asked.at(-1)?.body).toEqual({ ticket: LINK.authorization_url, url });
  });

  test('of an account that has a grant already prints that grant', async () => {
    let lists = 0;
    const earlier = { ...GRANT, id: 'grt_0', alias: 'first' };
    await using api = await fakeApi({
      ...script,
      'GET /v1/grants': () => page([{ ...earlier, generation: ++lists === 1 ? 1 : 2 }]),
    });
    const ran = await evergrant(['connect', 'exact-online', '--json'], { env: env(api.origin) });
    expect(ran.exit).toBe(0);
    expect(JSON.parse(ran.out.trimEnd().split('\n').at(-1) ?? '')).toMatchObject({ alias: 'first' });
    expect(ran.err).toContain('had a grant of the same app already');
  });
});

describe.concurrent('evergrant import', () => {
  const good = { alias: 'a', app: 'app_1', refresh_token: 'rt-geheim-1' };

  test('takes each line on its own, says what became of it, and ends with 1 when one failed', async () => {
    await using api = await fakeApi({
      'GET /v1/apps': page([APP]),
      'POST /v1/grants': ({ body }) =>
        Reflect.get(Object(body), 'alias') === 'held'
          ? { status: 409, json: problem(409, 'already_held') }
          : { status: 201, json: GRANT },
    });
    const stdin = [
      JSON.stringify(good),
      'no json rt-geheim-2',
      JSON.stringify({ ...good, alias: 'held' }),
      JSON.stringify({ ...good, refreshtoken: 'x' }),
      JSON.stringify({ ...good, alias: 'b', app: undefined, provider: 'exact-online', client_id: 'cid' }),
    ].join('\n');
    const ran = await evergrant(['import', '-', '--json', '--no-takeover'], { env: env(api.origin), stdin });
    expect(ran.exit).toBe(1);
    const results = ran.out
      .trimEnd()
      .split('\n')
      .map((line) => Object(JSON.parse(line)).outcome);
    expect(results).toEqual(['imported', 'failed', 'already_held', 'failed', 'imported']);
    expect(ran.out + ran.err).not.toContain('geheim');
    expect(api.asked.filter(({ method }) => method === 'POST').map(({ body }) => body)).toMatchObject([
      { alias: 'a', app: 'app_1', takeover: false },
      { alias: 'held' },
      { alias: 'b', app: 'app_1' },
    ]);
  });

  test('a line with a scheme needs no refresh token, and no takeover is asked for', async () => {
    await using api = await fakeApi({ 'GET /v1/apps': page([]), 'POST /v1/grants': { status: 201, json: GRANT } });
    const { refresh_token: _, ...rest } = good;
    const line = { ...rest, scheme: 'basic', credentials: { username: 'u', password: 'p-geheim' } };
    const ran = await evergrant(['import', '-'], { env: env(api.origin), stdin: JSON.stringify(line) });
    expect(ran).toMatchObject({ exit: 0 });
    expect(ran.out + ran.err).not.toContain('geheim');
    const [sent] = api.asked.filter(({ method }) => method === 'POST');
    expect(sent?.body).toEqual({ ...line, app: 'app_1' });
  });

  test('repeating what is held already is no failure', async () => {
    const json = problem(409, 'older_than_held');
    await using api = await fakeApi({ 'GET /v1/apps': page([]), 'POST /v1/grants': { status: 409, json } });
    const ran = await evergrant(['import', '-'], { env: env(api.origin), stdin: JSON.stringify(good) });
    expect(ran).toMatchObject({ exit: 0 });
  });
});

describe.concurrent('evergrant serve', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    'says where it is, shows no key in a log, and ends with 0 on %s',
    async (signal) => {
      using folder = scratch();
      const server = await serving(folder.path);
      const keyFile = join(folder.path, 'data/admin.key');
      expect(JSON.parse(server.said.out)).toMatchObject({ url: server.url, admin_key_file: keyFile });
      const listed = await evergrant(['grants', 'list', '--server', server.url], { cwd: folder.path });
      expect(listed).toMatchObject({ exit: 0, out: '' });
      expect(await server.stop(signal)).toBe(0);
      expect(server.said.err).toContain(`Evergrant is ready: ${server.url}`);
      expect(server.said.err).not.toContain(readFileSync(keyFile, 'utf8').trim());
      expect(statSync(keyFile).mode & 0o777).toBe(0o600);
    },
  );

  test('on a port that is taken ends with 78, naming the port and a remedy', async () => {
    await using api = await fakeApi({});
    const address = new URL(api.origin).host;
    const ran = await evergrant(['serve', '--listen', address]);
    expect(ran).toMatchObject({ exit: 78, out: '' });
    expect(ran.err).toContain(address);
    expect(ran.err).toContain('Remedy:');
  });

  test('is not needed: where nothing listens, a command is its own server and leaves what it did', async () => {
    using folder = scratch();
    const run = (...words: string[]) =>
      evergrant([...words, '--listen', '127.0.0.1:0'], { cwd: folder.path, stdin: 'secret\n' });
    const added = await run('apps', 'add', 'exact-online', '--client-id', 'cid', '--json');
    expect(added).toMatchObject({ exit: 0, err: '' });
    expect((await run('apps', 'list', '--json')).out).toBe(added.out);
  });
});

describe.concurrent('a command', () => {
  test('apps add takes the client secret from a private file', async () => {
    using folder = scratch();
    const secret = join(folder.path, 'secret');
    writeFileSync(secret, 'from-a-file\n', { mode: 0o600 });
    await using api = await fakeApi({ 'GET /v1/providers': PROVIDERS, 'POST /v1/apps': { status: 201, json: APP } });
    const words = ['apps', 'add', 'exact-online', '--client-id', 'cid', '--variable', 'host=nl'];
    const ran = await evergrant(words, { env: { ...env(api.origin), EVERGRANT_CLIENT_SECRET_FILE: secret } });
    expect(ran).toEqual({ exit: 0, out: 'app_1\n', err: '' });
    expect(api.asked.at(-1)?.body).toMatchObject({ client_secret: 'from-a-file', variables: { host: 'nl' } });
  });

  test('with a wrong flag ends with 2 and says which one was probably meant', async () => {
    const ran = await evergrant(['grants', 'list', '--stat', 'x']);
    expect(ran).toMatchObject({ exit: 2, out: '' });
    expect(ran.err).toContain('Did you mean --state?');
  });

  test('serve with a wrong flag or value ends with 78', async () => {
    expect(await evergrant(['serve', '--lisen', 'x'])).toMatchObject({ exit: 78, out: '' });
    const ran = await evergrant(['serve', '--listen', 'x', '--json']);
    expect(ran.exit).toBe(78);
    expect(JSON.parse(ran.err)).toMatchObject({ code: 'setting', detail: expect.stringContaining('--listen') });
  });

  test('config print shows where each setting comes from, and no secret', async () => {
    const secret = 'x'.repeat(40);
    const { out } = await evergrant(['config', 'print', '--json'], { env: { EVERGRANT_ADMIN_KEY: secret } });
    expect(JSON.parse(out)).toMatchObject({
      'admin-key': { value: '(set)', from: 'EVERGRANT_ADMIN_KEY' },
      listen: { value: '127.0.0.1:8787', from: 'default' },
    });
    expect(out).not.toContain(secret);
  });

  const all = ['serve', 'connect', 'token', 'import', 'emulate', 'config check', 'config print', 'providers list'];
  const nouns = ['grants list', 'grants show', 'grants history', 'grants renew', 'grants refresh', 'grants remove'];
  const more = [
    'apps list',
    'apps show',
    'apps add',
    'apps remove',
    'api-keys list',
    'api-keys add',
    'api-keys remove',
    'journal status',
    'journal merge',
    'journal abandon',
  ];
  test.each([...all, ...nouns, ...more, 'providers show'])('%s has --help and --json', async (name) => {
    const ran = await evergrant([...name.split(' '), '--help']);
    expect(ran).toMatchObject({ exit: 0, err: '' });
    expect(ran.out).toContain('--json');
  });
});
