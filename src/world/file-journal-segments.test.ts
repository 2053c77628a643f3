import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { endOfTurn } from './event-loop.ts';
import { nodeDisk } from './file-journal-disk.ts';
import { record } from './file-journal.fixture.ts';
import { nameOf, Segments } from './file-journal-segments.ts';
import { encode } from './journal-frame.ts';

const silent = { debug() {}, info() {}, warn() {}, error() {} };

test('a large segment is read in steps, and all others have their turn in between', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'evergrant-segments-'));
  const answer = 'x'.repeat(1_500);
  const lines = Array.from({ length: 2_000 }, (_, i) =>
    encode({ type: 'record', number: i + 1, record: record(`${i}`, answer) }),
  );
  const bytes = Buffer.concat(lines);
  writeFileSync(join(folder, nameOf(1, 1)), '');
  // It is in memory: only who is let have a turn gets one.
  const segments = new Segments(folder, { ...nodeDisk, readWhole: async () => bytes }, silent);
  await segments.load();
  const [segment] = segments.all;
  if (!segment) throw new Error('the segment was not found');
  let turns = 0;
  let isOver = false;
  const others = (async () => {
    for (; !isOver; turns++) await endOfTurn();
  })();
  const placed = await segments.placed(segment);
  isOver = true;
  await others;
  expect([placed.length, placed.at(-1)?.frame]).toEqual([2_000, expect.objectContaining({ number: 2_000 })]);
  expect(turns).toBeGreaterThan(bytes.length / (512 * 1024));
  await rm(folder, { recursive: true });
});
