/** `evergrant grants` as a script sees it: the real binary against an API on loopback. */
import { describe, expect, test, vi } from 'vitest';
import { evergrant, fakeApi } from '../../test/support/fake-api.ts';

// Every test starts processes, and a busy machine takes its time.
vi.setConfig({ testTimeout: 60_000 });

const DAY_MS = 86_400_000;
const env = (origin: string): Record<string, string> => ({
  EVERGRANT_SERVER: origin,
  EVERGRANT_API_KEY: 'k'.repeat(32),
});
const inDays = (days: number) => new Date(Date.parse('2100-01-01T00:00:00Z') + days * DAY_MS).toISOString();
const NEVER = { idle_at: null, absolute_at: null, earliest_at: null, announced_at: null, warnings: [] };
const GRANT = { id: 'grt_1', alias: 'bank', provider: 'truelayer', state: 'active', exchanges: 3, expires: NEVER };
const ENDING = { ...GRANT, expires: { ...NEVER, absolute_at: inDays(0), announced_at: '2026-11-01T00:00:00Z' } };

describe.concurrent('evergrant grants', () => {
  test('list tells until when a person has to renew a grant, where there is such a date [S123]', async () => {
    await using api = await fakeApi({ 'GET /v1/grants': { json: { items: [ENDING, GRANT], next: null } } });
    const { out } = await evergrant(['grants', 'list'], { env: env(api.origin) });
    expect(out.split('\n').map((line) => line.split(/ {2,}/).at(-1))).toEqual([
      'RENEW BEFORE',
      expect.stringMatching(/^in \d+ days$/),
      '-',
      '',
    ]);
    await using plain = await fakeApi({ 'GET /v1/grants': { json: { items: [GRANT], next: null } } });
    expect((await evergrant(['grants', 'list'], { env: env(plain.origin) })).out).not.toContain('RENEW BEFORE');
  });

  test('list --ends-before takes a number of days, or a date, and nothing else [S123]', async () => {
    await using api = await fakeApi({ 'GET /v1/grants': { json: { items: [], next: null } } });
    const list = (when: string) => evergrant(['grants', 'list', '--ends-before', when], { env: env(api.origin) });
    expect((await list('2026-12-31')).err).toBe('No grant is like that.\n');
    await list('30d');
    await list('60d');
    const asked = api.asked.map(({ url }) => new URL(url, api.origin).searchParams.get('ends_before') ?? '');
    expect(asked[0]).toBe('2026-12-31T00:00:00.000Z');
    expect((Date.parse(asked[2] ?? '') - Date.parse(asked[1] ?? '')) / DAY_MS).toBeCloseTo(30, 1);
    expect(await list('soon')).toMatchObject({ exit: 2, out: '' });
    expect((await evergrant(['grants', 'list'], { env: env(api.origin) })).err).toContain('No grants. Make one:');
  });

  test('show and history tell when an end was announced, and when it will be next [S123]', async () => {
    const announced = { version: 9, type: 'announced', at: '2026-11-01T00:00:00Z', generation: 1 };
    const told = { ...announced, outcome: 'end_announced', ends_at: inDays(0) };
    await using api = await fakeApi({
      'GET /v1/grants/bank': { json: { ...ENDING, expires: { ...ENDING.expires, next_announcement_at: inDays(-7) } } },
      'GET /v1/grants/bank/history': { json: { items: [told], next: null } },
    });
    const show = await evergrant(['grants', 'show', 'bank'], { env: env(api.origin) });
    expect(show.out).toMatch(/must be renewed before +2100-01-01/);
    expect(show.out).toMatch(/announced +2026-11-01/);
    expect(show.out).toMatch(/announced next +2099-12-25/);
    const history = await evergrant(['grants', 'history', 'bank'], { env: env(api.origin) });
    expect(history.out).toContain(`end_announced     a person has to renew it before ${inDays(0)}`);
  });
});
