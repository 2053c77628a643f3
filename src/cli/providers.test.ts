/** The catalogue on a terminal, and provider files that are tried before a server sees them. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { evergrant, fakeApi, scratch } from '../../test/support/fake-api.ts';

// Every test starts processes, and a busy machine takes its time.
vi.setConfig({ testTimeout: 60_000 });

const PROVIDER = {
  id: 'exact-online',
  name: 'Exact Online',
  category: 'accounting',
  variables: { host: { choices: { nl: 'start.exactonline.nl' }, default: 'nl' } },
  token_endpoint: 'https://{host}/api/oauth2/token',
  policy: {
    class: 'until-successor-used-within',
    again: 'until its successor is used, at most 10 minutes',
    overlap_window: 600,
    min_spacing: 570,
    idle: 2592000,
    grade: 'observed',
  },
  rotation: ['Each use brings another one.'],
  lost_answer: 'Nothing is lost for 10 minutes.',
  errors: [{ status: 401, error: null, description: 'Old', body: { '/code': 7 }, means: 'superseded' }],
  notes: ['A note.'],
  facts: [{ about: '/policy/life/idle', source: 'https://acme.test/page', seen: '2026-11-21', grade: 'observed' }],
};
const env = (origin: string) => ({ EVERGRANT_SERVER: origin, EVERGRANT_API_KEY: 'key-of-a-test-that-is-long-enough' });

describe.concurrent('evergrant providers', () => {
  test('list shows overlap, spacing and how well the rotation is known', async () => {
    await using api = await fakeApi({ 'GET /v1/providers': { json: { items: [PROVIDER], next: null } } });
    const { out } = await evergrant(['providers', 'list'], { env: env(api.origin) });
    expect(out).toMatch(/until its successor is used, at most 10 minutes +10 min +9\.5 min +30 days +observed\n$/);
  });

  test('list passes a search and a kind on to the server', async () => {
    await using api = await fakeApi({ 'GET /v1/providers': { json: { items: [PROVIDER], next: null } } });
    await evergrant(['providers', 'list', '--category', 'accounting', '--search', 'a&b'], { env: env(api.origin) });
    expect(api.asked.map(({ url }) => url)).toEqual(['/v1/providers?category=accounting&q=a%26b']);
  });

  test('show is a page with what is lost, the errors, and every source with its date and grade', async () => {
    await using api = await fakeApi({ 'GET /v1/providers/exact-online': { json: PROVIDER } });
    const { out } = await evergrant(['providers', 'show', 'exact-online'], { env: env(api.origin) });
    expect(out).toContain('When an answer is lost: Nothing is lost for 10 minutes.');
    expect(out).toMatch(/401 +\/code=7 +Old +superseded/);
    expect(out).toMatch(/\/policy\/life\/idle +observed +2026-11-21 +https:\/\/acme\.test\/page/);
  });

  test('check needs no server, and names every fault of a file with its place', async () => {
    using folder = scratch();
    const good = join(folder.path, 'good.json');
    const bad = join(folder.path, 'bad.json');
    const file = { id: 'mine', name: 'Mine', issuer: 'http://127.0.0.1:9' };
    writeFileSync(good, JSON.stringify(file));
    writeFileSync(bad, JSON.stringify({ ...file, colour: 'red', policy: { life: { idle: -1 } } }));
    expect(await evergrant(['providers', 'check', good])).toMatchObject({ exit: 0, err: '' });
    const json = JSON.parse((await evergrant(['providers', 'check', good, '--json'])).out);
    expect(json).toMatchObject({ file: good, id: 'mine', name: 'Mine' });
    const refused = await evergrant(['providers', 'check', bad]);
    expect(refused).toMatchObject({ exit: 78, out: '' });
    expect(refused.err).toContain(`${bad} at /policy/life/idle: `);
    expect(refused.err).toContain(`${bad} at /colour: there is no such key`);
    expect((await evergrant(['providers', 'check', join(folder.path, 'none.json')])).exit).toBe(78);
  });
});
