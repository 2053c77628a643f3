/** The faults that are planted in real servers name lines that stand in the source: else a slow test would say so late. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { PLANTED } from './chaos/planted.ts';

test.each(Object.entries(PLANTED))('a fault can be planted: %s', (_, { file, line }) => {
  const source = readFileSync(new URL(`..${file}`, import.meta.url), 'utf8');
  expect(source.split(line)).toHaveLength(2);
});
