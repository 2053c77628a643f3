/** `evergrant doctor` as a script sees it: the real binary against an API on loopback. */
import { describe, expect, test, vi } from 'vitest';
import { evergrant, fakeApi } from '../../test/support/fake-api.ts';

// Every test starts processes, and a busy machine takes its time.
vi.setConfig({ testTimeout: 60_000 });

const env = (origin: string) => ({ EVERGRANT_SERVER: origin, EVERGRANT_API_KEY: 'key-of-a-test-that-is-long-enough' });
const expires = { idle_at: null, absolute_at: null, earliest_at: null, earliest_reason: null, warnings: [] };
const GRANT = {
  id: 'grt_1',
  alias: 'eol',
  state: 'active',
  state_since: '2026-11-22T09:00:00Z',
  access_token_expires_at: null,
  next_exchange_at: null,
  expires,
};
const DIAGNOSIS = {
  code: 'used_elsewhere',
  cause: 'Another program used it.',
  remedy: 'Stop the other program.',
  retry: false,
  evidence: 'Token 3 of authorization 1 was refused.',
  said: { status: 401, error: 'unauthorized_client', description: 'Old refresh token used.' },
};
const BROKEN = { ...GRANT, alias: 'old', state: 'broken', diagnosis: DIAGNOSIS };
const WAITING = { ...GRANT, alias: 'slow', state: 'waiting', diagnosis: { ...DIAGNOSIS, code: 'too_early' } };
const ENDING = {
  ...GRANT,
  alias: 'ending',
  expires: {
    ...expires,
    earliest_at: '2999-01-01T00:00:00Z',
    earliest_reason: 'absolute',
    warnings: [{ code: 'ends_soon', text: 'It ends soon.' }],
  },
};
const list = (...items: object[]) => ({ json: { items, next: null } });
const READY = { 'GET /readyz': { json: { status: 'ready' } } };

describe.concurrent('evergrant doctor', () => {
  test('says that all is fine when it is, and ends with 0', async () => {
    await using api = await fakeApi({ ...READY, 'GET /v1/grants': list(GRANT) });
    const { exit, out } = await evergrant(['doctor'], { env: env(api.origin) });
    expect(exit).toBe(0);
    expect(out).toContain(`server: reachable at ${api.origin}`);
    expect(out).toContain('clock: as here');
    expect(out).toContain('grants: 1 active');
    expect(out).toContain('Nothing needs anybody.');
  });

  test('names each grant that needs attention with cause and remedy, and ends with 3 when a person is needed [S55]', async () => {
    await using api = await fakeApi({ ...READY, 'GET /v1/grants': list(GRANT, BROKEN, WAITING, ENDING) });
    const { exit, out } = await evergrant(['doctor'], { env: env(api.origin) });
    expect(exit).toBe(3);
    for (const words of ['old  broken', 'used_elsewhere', 'Another program used it.', 'evergrant grants renew old']) {
      expect(out).toContain(words);
    }
    expect(out).toContain('It ends soon.');
    expect(out).not.toContain('eol');
  });

  test('ends with 75 when waiting is all that helps, and as JSON gives one value', async () => {
    await using api = await fakeApi({ ...READY, 'GET /v1/grants': list(GRANT, WAITING) });
    const { exit, out } = await evergrant(['doctor', '--json'], { env: env(api.origin) });
    expect(exit).toBe(75);
    expect(JSON.parse(out)).toMatchObject({ grants: { active: 1, waiting: 1 }, attention: [{ alias: 'slow' }] });
  });

  test('notices a clock that is wrong, a server that is not ready and a key that is refused', async () => {
    const date = new Date(Date.now() - 3_600_000).toUTCString();
    const notReady = { status: 503, json: { status: 'not ready' }, headers: { date } };
    await using api = await fakeApi({ 'GET /readyz': notReady, 'GET /v1/grants': { status: 401, json: {} } });
    const { exit, out } = await evergrant(['doctor'], { env: env(api.origin) });
    expect(exit).toBe(1);
    expect(out).toMatch(/✗ clock: 3[56]\d\d s behind this machine/);
    expect(out).toContain('✗ ready: not ready (HTTP 503)');
    expect(out).toContain('✗ key: refused (HTTP 401)');
  });

  test("tells one grant's story in order: what happened, why, what to do, what is to come [S38] [S99]", async () => {
    const event = { generation: 1, link: null, parent: null, fingerprint: null, node: null };
    const history = list(
      {
        ...event,
        version: 2,
        type: 'refused',
        at: '2026-11-22T09:00:00Z',
        outcome: 'superseded',
        said: DIAGNOSIS.said,
      },
      { ...event, version: 1, type: 'authorized', at: '2026-11-21T09:00:00Z', outcome: 'authorized' },
    );
    await using api = await fakeApi({ 'GET /v1/grants/old': { json: BROKEN }, 'GET /v1/grants/old/history': history });
    const { exit, out } = await evergrant(['doctor', 'old'], { env: env(api.origin) });
    expect(exit).toBe(3);
    const places = ['authorized', 'superseded', 'Token 3 of authorization 1', 'Stop the other program.'].map((words) =>
      out.indexOf(words),
    );
    expect(places.every((place) => place > 0)).toBe(true);
    expect(places).toEqual(places.toSorted((a, b) => a - b));
  });

  test('forecasts when a grant ends and of what [S101]', async () => {
    await using api = await fakeApi({
      'GET /v1/grants/ending': { json: ENDING },
      'GET /v1/grants/ending/history': list(),
    });
    const { exit, out } = await evergrant(['doctor', 'ending'], { env: env(api.origin) });
    expect(exit).toBe(0);
    expect(out).toMatch(/ends\s+2999-01-01T00:00:00Z \(in \d+ days\) however much it is used/);
  });

  test('explains an error text, from an argument or from stdin, with status and headers [S50] [S52]', async () => {
    const finding = { code: 'too_early', cause: 'Too early.', remedy: 'Wait.', retry: true, sources: [] };
    await using api = await fakeApi({ 'POST /v1/diagnose': { json: finding } });
    const words = [
      'doctor',
      '--provider',
      'exact-online',
      '--status',
      '401',
      '--header',
      'Reason: Early: yes',
      '--body',
      '-',
    ];
    const { exit, out } = await evergrant(words, { env: env(api.origin), stdin: 'itgeneor364' });
    expect([exit, out]).toEqual([0, expect.stringContaining('Too early.')]);
    expect(api.asked[0]?.body).toEqual({
      provider: 'exact-online',
      status: 401,
      headers: { Reason: 'Early: yes' },
      body: 'itgeneor364',
    });
  });

  test.each([
    [['eol', '--body', 'x']],
    [['--status', '400']],
    [['--status', 'soon', '--body', 'x']],
    [['--header', 'x', '--body', 'x']],
  ])('refuses a use that makes no sense: %s', async (words) => {
    const { exit } = await evergrant(['doctor', ...words], { env: env('http://127.0.0.1:1') });
    expect(exit).toBe(2);
  });
});
