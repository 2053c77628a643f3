/** docs/bench.md is written by hand but for its figures, which come from a run and from nowhere else. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { BLOCKS, markersOf, type Report, written } from '../bench/page.ts';

const PAGE = readFileSync(new URL('../docs/bench.md', import.meta.url), 'utf8');
const SIDE = { perSecond: 1_000, cpu: 50, p99: 3 };
const SPEED = {
  connections: 32,
  rounds: 5,
  roundSeconds: 4,
  evergrant: SIDE,
  baseline: SIDE,
  ratio: 1,
  ratios: [1],
  cpuRatio: 1,
};
const REPORT: Report = {
  date: '2026-11-22T00:00:00.000Z',
  command: 'npm run bench -- --write',
  commit: 'abc1234',
  machine: '2 × test',
  node: 'v24.0.0',
  speed: SPEED,
  speedOfMany: SPEED,
  clients: SPEED,
  clientsOfTwo: null,
  proxy: SPEED,
  sdkCall: 100,
  memory: { afterStart: 90, oneGrant: 91, manyGrants: 92, many: 1_000 },
  coldStart: { starts: 20, token: 120, emptyNode: 60, tokenCpu: 80, emptyNodeCpu: 40 },
  rotations: [],
  exchanges: [],
  crowds: [],
};

function block(page: string, name: (typeof BLOCKS)[number]): string {
  const [begin, end] = markersOf(name);
  return page.split(begin)[1]?.split(end)[0] ?? '';
}

test('a run puts its figures between the markers, with machine and date, and leaves what it did not measure', () => {
  const page = written(PAGE, REPORT);
  expect(block(page, 'speed')).toContain(
    '| Processor time of a start | `evergrant token` 80 ms, `node -e 0` 40 ms: 2.00',
  );
  for (const name of ['speed', 'rotations', 'exchanges'] as const)
    expect(block(page, name)).toContain(
      '2026-11-22, commit abc1234, `npm run bench -- --write`; 2 × test; Node v24.0.0.',
    );
  expect(block(page, 'million')).toBe(block(PAGE, 'million'));
  expect(written(page, REPORT)).toBe(page);
  const outside = (text: string) => BLOCKS.reduce((left, name) => left.replace(block(left, name), ''), text);
  expect(outside(page)).toBe(outside(PAGE));
});

test('a page without a place for a figure is not written', () => {
  expect(() => written(PAGE.replace(markersOf('exchanges')[1], ''), REPORT)).toThrow('exchanges');
});
