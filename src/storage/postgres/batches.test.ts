import { expect, test } from 'vitest';
import { inBatches } from './batches.ts';

/** Runs batches that end when the test says so. */
function controlled(batching: {
  readonly atOnce: number;
  readonly size: number;
  readonly keyOf?: (item: string) => string;
}) {
  const running: { readonly items: readonly string[]; readonly end: (error?: Error) => void }[] = [];
  const ask = inBatches(batching, (items: readonly string[]) => {
    return new Promise<readonly PromiseSettledResult<string>[]>((resolve, reject) => {
      const outcomes = items.map(
        (item): PromiseSettledResult<string> =>
          item.startsWith('bad')
            ? { status: 'rejected', reason: item }
            : { status: 'fulfilled', value: item.toUpperCase() },
      );
      running.push({ items, end: (error) => (error ? reject(error) : resolve(outcomes)) });
    });
  });
  return { ask, running };
}

/** Lets everything that may happen by now happen. */
async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

test('what is asked in one turn goes together, and what comes meanwhile goes together next', async () => {
  const { ask, running } = controlled({ atOnce: 1, size: 10 });
  const first = [ask('a'), ask('b')];
  await settle();
  const second = [ask('c'), ask('d')];
  running[0]?.end();
  expect(await Promise.all(first)).toEqual(['A', 'B']);
  await settle();
  running[1]?.end();
  expect(await Promise.all(second)).toEqual(['C', 'D']);
  expect(running.map((one) => one.items)).toEqual([
    ['a', 'b'],
    ['c', 'd'],
  ]);
});

test('no batch is larger, and no more run at once, than was said', async () => {
  const { ask, running } = controlled({ atOnce: 2, size: 2 });
  for (const item of ['a', 'b', 'c', 'd', 'e']) void ask(item);
  await settle();
  expect(running.map((one) => one.items)).toEqual([
    ['a', 'b'],
    ['c', 'd'],
  ]);
});

test('two batches never hold one key, and what is asked for a key keeps its order', async () => {
  const { ask, running } = controlled({ atOnce: 3, size: 2, keyOf: (item) => item.slice(0, 1) });
  for (const item of ['a1', 'b1', 'a2', 'c1', 'a3']) void ask(item);
  await settle();
  expect(running.map((one) => one.items)).toEqual([['a1', 'b1'], ['c1']]);
  running[0]?.end();
  await settle();
  expect(running.at(-1)?.items).toEqual(['a2', 'a3']);
});

test('an item that fails fails alone, and a batch that fails fails whole; others go on', async () => {
  const { ask, running } = controlled({ atOnce: 1, size: 2 });
  const all = Promise.allSettled(['a', 'bad', 'c', 'd', 'e'].map(ask));
  await settle();
  running[0]?.end();
  await settle();
  running[1]?.end(new Error('gone'));
  await settle();
  running[2]?.end();
  expect((await all).map((one) => one.status)).toEqual(['fulfilled', 'rejected', 'rejected', 'rejected', 'fulfilled']);
});
