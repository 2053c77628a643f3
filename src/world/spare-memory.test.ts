import { getHeapSpaceStatistics } from 'node:v8';
import { expect, test } from 'vitest';
import { giveBackMemory } from './spare-memory.ts';

const MOST_AT_REST_BYTES = 4 * 1024 * 1024;

function youngBytes(): number {
  return getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space')?.space_size ?? Number.NaN;
}

test('what a start needed for the moment is given back', () => {
  // As modules do while they load: much is made, and much of it stays for a while.
  let kept: object[] = [];
  for (let i = 0; i < 2_000_000; i++) {
    kept.push({ i });
    if (kept.length > 300_000) kept = [];
  }
  expect(youngBytes()).toBeGreaterThan(MOST_AT_REST_BYTES);
  giveBackMemory();
  expect(youngBytes()).toBeLessThanOrEqual(MOST_AT_REST_BYTES);
});
