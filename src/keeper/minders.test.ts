/** Which grant a name leads to, and what it costs to forget names where many grants are in memory. */
import { expect, test } from 'vitest';
import type { GrantId } from '../core/id.ts';
import type { ChainMinder } from './minder.ts';
import { Minders } from './minders.ts';

/** Minders of grants whose aliases stand here; they are asked for nothing but their grant. */
function mindersOf(aliases: Map<GrantId, string>): Minders {
  return new Minders(async (idOrAlias) => {
    const [grant, alias] = [...aliases].find((one) => one.includes(idOrAlias)) ?? [idOrAlias as GrantId, 'none'];
    return { minder: { grant } as ChainMinder, names: [grant, alias] };
  });
}

test('a name that another node may have changed is looked up again, and the minder of its grant stays', async () => {
  const aliases = new Map<GrantId, string>([['grt_1', 'books']]);
  const minders = mindersOf(aliases);
  const minder = await minders.of('books');
  aliases.set('grt_1', 'old').set('grt_2', 'books');
  minders.forgetNamesOf('grt_1');
  expect(minders.known('books')).toBeUndefined();
  expect((await minders.of('books')).grant).toBe('grt_2');
  expect(await minders.of('grt_1')).toBe(minder);
});

test('a name that was forgotten while it was looked up is looked up again', async () => {
  const read = Promise.withResolvers<void>();
  let holder: GrantId = 'grt_1';
  const minders = new Minders(async (name) => {
    const grant = holder;
    await read.promise;
    return { minder: { grant } as ChainMinder, names: [grant, name] };
  });
  const before = minders.of('books');
  holder = 'grt_2';
  minders.forgetName('books');
  read.resolve();
  expect((await before).grant).toBe('grt_1');
  expect((await minders.of('books')).grant).toBe('grt_2');
});

test('what is forgotten of a grant is not taken from the one that has its name by now', async () => {
  const aliases = new Map<GrantId, string>([['grt_1', 'books']]);
  const minders = mindersOf(aliases);
  await minders.of('books');
  minders.forgetName('books');
  aliases.set('grt_1', 'old').set('grt_2', 'books');
  await minders.of('books');
  minders.forget('grt_1');
  expect(minders.known('grt_1')).toBeUndefined();
  expect(minders.known('books')?.grant).toBe('grt_2');
  expect([...minders.all()]).toHaveLength(1);
});

test('to forget the names of thirty thousand grants keeps nothing else waiting', async () => {
  const minders = new Minders(async (id) => ({
    minder: { grant: id as GrantId } as ChainMinder,
    names: [id, `alias of ${id}`],
  }));
  for (let i = 0; i < 30_000; i++) await minders.of(`grt_${i}`);
  const before = process.cpuUsage();
  for (const { grant } of minders.all()) minders.forgetNamesOf(grant);
  // A fiftieth of a second; 30 s where each grant looks through the names of all.
  expect(process.cpuUsage(before).user / 1_000).toBeLessThan(2_000);
});
