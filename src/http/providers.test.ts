/** The catalogue over HTTP: the files that are shipped, as they are. */
import { expect, test } from 'vitest';
import { catalogue } from '../catalogue/catalogue.ts';
import { readProviderFiles } from '../world/provider-files.ts';
import { fakeParts, NOW } from './fake-keeper.ts';
import { serve } from './fake-server.ts';

const builtIn = readProviderFiles(new URL('../../providers', import.meta.url).pathname);

async function ask(url: string) {
  const { send } = await serve({ ...fakeParts(), catalogue: catalogue({ builtIn, extra: [], now: () => NOW }) });
  return (await send('GET', url)).json();
}

test('providers are found by a part of their id or name, and by their kind', async () => {
  const named = await ask('/v1/providers?q=exact');
  expect(named.items.map((one: { id: string }) => one.id)).toEqual(['exact-online']);
  const kind = await ask('/v1/providers?category=legal');
  expect(kind.items.map((one: { id: string }) => one.id)).toEqual(['clio-manage', 'clio-platform']);
  expect((await ask('/v1/providers?colour=red')).code).toBe('unknown_field');
});

test('one provider comes with what is lost, its errors in words, its notes and every source', async () => {
  const strava = await ask('/v1/providers/strava');
  expect(strava).toMatchObject({
    category: 'fitness',
    policy: { class: 'one-time-revoking', again: 'no; a second time may end the grant', grade: 'inferred' },
    lost_answer: expect.stringContaining('presented once more'),
    errors: [{ status: 400, error: null, means: 'invalid_grant', in_words: expect.stringContaining('dead') }],
  });
  expect(strava.facts[0]).toMatchObject({ about: '/authorization_endpoint', grade: 'observed', note: null });
});

test('what a dated change says has the grade of the change', async () => {
  const { policy } = await ask('/v1/providers/bitbucket');
  expect(policy).toMatchObject({ rotate: 'always', idle: 7_776_000, grade: 'documented' });
});
