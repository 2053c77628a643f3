import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, test } from 'vitest';
import { type Disk, nodeDisk } from './file-journal-disk.ts';
import {
  eachWithOwnFolder,
  ids,
  intent,
  linksSince,
  moment,
  openJournal,
  record,
  segments,
  unsettledAfterReopening,
  world,
  writtenSegment,
} from './file-journal.fixture.ts';

eachWithOwnFolder();

/** A disk that counts, and fails where `fails` says so. */
function watchedDisk(
  fails: { write?: (n: number) => boolean; sync?: (n: number) => boolean; read?: (n: number) => boolean } = {},
) {
  const counts = { write: 0, sync: 0, read: 0 };
  const noSpace = Object.assign(new Error('no space'), { code: 'ENOSPC' });
  const disk: Disk = {
    ...nodeDisk,
    async write(file, bytes, position) {
      // The reserve is not what is tested here.
      const isFrame = bytes.length < 500_000;
      const nth = isFrame ? counts.write++ : -1;
      if (isFrame && fails.write?.(nth)) {
        await nodeDisk.write(file, bytes.subarray(0, bytes.length / 2), position);
        throw noSpace;
      }
      await nodeDisk.write(file, bytes, position);
    },
    async sync(file) {
      const nth = counts.sync++;
      if (fails.sync?.(nth)) throw Object.assign(new Error('input/output error'), { code: 'EIO' });
      await nodeDisk.sync(file);
    },
    async read(file, length, position) {
      const bytes = await nodeDisk.read(file, length, position);
      const nth = counts.read++;
      if (fails.read?.(nth)) bytes.fill(0, 3, 4);
      return bytes;
    },
  };
  return { disk, counts };
}

test('what was appended comes back as it was, oldest first, until it is settled', async () => {
  const journal = await openJournal();
  await journal.append(record('a'));
  await journal.append(record('b'));
  await journal.append({ ...record('c'), purpose: 'authorization', presented: null, sequence: null });
  journal.settled('lnk_b', 'tokens');
  await journal.close();
  const again = await openJournal();
  expect(again.unsettled()).toEqual([
    record('a'),
    { ...record('c'), purpose: 'authorization', presented: null, sequence: null },
  ]);
  expect(await linksSince(again, 0)).toEqual(['lnk_a', 'lnk_b', 'lnk_c']);
  expect(world.reports).toEqual([]);
});

test('a hundred appends at once share a few fsyncs', async () => {
  const { disk, counts } = watchedDisk();
  const journal = await openJournal({ disk });
  await Promise.all(Array.from({ length: 100 }, (_, i) => journal.append(record(String(i)))));
  expect(counts.sync).toBeGreaterThanOrEqual(1);
  expect(counts.sync).toBeLessThanOrEqual(3);
  expect(await unsettledAfterReopening()).toHaveLength(100);
});

test('notes of what is about to be sent cost no fsync, outlive the process and are not waited for', async () => {
  const { disk, counts } = watchedDisk();
  const journal = await openJournal({ disk });
  await journal.append(record('a'));
  journal.settled('lnk_a', 'tokens');
  const before = counts.sync;
  for (const name of ['b', 'c']) await journal.note(intent(name));
  const unsent = { ...ids('d'), purpose: 'unsent', at: moment(), attempt: 'lnk_attempt-c' } as const;
  await journal.note(unsent);
  expect(counts.sync).toBe(before);
  expect(journal.settledUpTo()).toBe(4);
  // The process dies: nothing is closed, and what follows reads what it left.
  const again = await openJournal();
  expect(again.unsettled()).toEqual([]);
  const read = await Array.fromAsync(again.since(1));
  expect(read.map((one) => one.record)).toEqual([intent('b'), intent('c'), unsent]);
});

test('an append is not acknowledged before its fsync', async () => {
  const order: string[] = [];
  const disk: Disk = {
    ...nodeDisk,
    async sync(file) {
      await nodeDisk.sync(file);
      order.push('synced');
    },
  };
  await (await openJournal({ disk })).append(record('a')).then(() => order.push('acknowledged'));
  expect(order).toEqual(['synced', 'acknowledged']);
});

describe('when the disk fails', () => {
  test.each(['write', 'sync', 'read'] as const)(
    'once at a %s, the append still succeeds, in a new segment',
    async (step) => {
      const { disk } = watchedDisk({ [step]: (n: number) => n === 1 });
      const journal = await openJournal({ disk });
      await journal.append(record('a'));
      await journal.append(record('b'));
      await journal.append(record('c'));
      await journal.close();
      expect(await unsettledAfterReopening()).toEqual(['lnk_a', 'lnk_b', 'lnk_c']);
    },
  );

  test.each(['write', 'sync', 'read'] as const)(
    'for good at a %s, the append rejects, and a later one may succeed',
    async (step) => {
      let isBroken = true;
      const { disk } = watchedDisk({ [step]: () => isBroken });
      const journal = await openJournal({ disk });
      await expect(journal.append(record('a'))).rejects.toThrow();
      isBroken = false;
      await journal.append(record('b'));
      await journal.close();
      expect(await unsettledAfterReopening()).toContain('lnk_b');
    },
  );

  test('a full disk takes one more answer, into the space that was reserved', async () => {
    const reserve = join(world.dataFolder, 'journal', 'reserve');
    const { disk } = watchedDisk({ write: (n) => n === 0 });
    const journal = await openJournal({ disk });
    expect(statSync(reserve).size).toBe(1024 * 1024);
    await journal.append(record('a'));
    expect(readdirSync(join(world.dataFolder, 'journal'))).not.toContain('reserve');
    world.nowMs += 61_000;
    await journal.append(record('b'));
    await journal.close();
    expect(statSync(reserve).size).toBe(1024 * 1024);
  });

  test('a folder that cannot be written to stops the start', async () => {
    writeFileSync(join(world.dataFolder, 'journal'), 'a file in the way');
    await expect(openJournal()).rejects.toMatchObject({ code: 'setting', exitCode: 78 });
  });
});

describe('what a crash or a bad disk left', () => {
  test('a record that was cut off is dropped and reported, wherever the cut is; earlier ones are kept', async () => {
    const journal = await openJournal();
    for (const name of ['a', 'b', 'c']) await journal.append(record(name));
    await journal.close();
    const path = writtenSegment();
    const whole = readFileSync(path);
    const lastLine = whole.lastIndexOf('\n', -2) + 1;
    for (const cut of [lastLine + 1, lastLine + 20, whole.length - 2, whole.length - 1]) {
      world.reports = [];
      writeFileSync(path, whole.subarray(0, cut));
      expect(await unsettledAfterReopening(), `cut at ${cut}`).toEqual(['lnk_a', 'lnk_b']);
      expect(world.reports).toEqual(['journal: the last record was cut off and is dropped']);
    }
  });

  test('a record that was damaged in the middle is reported, and everything readable is kept', async () => {
    const journal = await openJournal();
    for (const name of ['a', 'b', 'c']) await journal.append(record(name));
    await journal.close();
    const bytes = readFileSync(writtenSegment());
    const middle = bytes.indexOf('sealed b');
    bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle);
    writeFileSync(writtenSegment(), bytes);
    expect(await unsettledAfterReopening()).toEqual(['lnk_a', 'lnk_c']);
    expect(world.reports).toEqual(['journal: a damaged record was passed over']);
  });

  test('a torn record is left on disk, and later appends do not touch it', async () => {
    mkdirSync(join(world.dataFolder, 'journal'));
    const torn = join(world.dataFolder, 'journal', '0000000004.journal');
    writeFileSync(torn, 'j1 500 0123456789abcdef {"type":"rec');
    const journal = await openJournal();
    await journal.append(record('a'));
    await journal.close();
    expect(segments()[0]).not.toBe(torn);
    expect(await unsettledAfterReopening()).toEqual(['lnk_a']);
  });
});

test('a journal that another root key sealed stops the start, and is left as it is', async () => {
  const first = await openJournal({ keyCheck: 'v1.one' });
  await first.append(record('a'));
  await first.close();
  const before = segments().map((path) => readFileSync(path, 'latin1'));
  await expect(openJournal({ keyCheck: 'v1.two' })).rejects.toMatchObject({ code: 'setting', exitCode: 78 });
  expect(segments().map((path) => readFileSync(path, 'latin1'))).toEqual(before);
  const again = await openJournal({ keyCheck: 'v1.one' });
  expect(again.unsettled().map((one) => one.link)).toEqual(['lnk_a']);
});

/** Appends without end; says the number of each record once it was acknowledged. */
const WRITER = `
  import { openFileJournal } from ${JSON.stringify(new URL('./file-journal.ts', import.meta.url).href)};
  import { systemClock } from ${JSON.stringify(new URL('./system-clock.ts', import.meta.url).href)};
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const journal = await openFileJournal({ dataFolder: process.argv[1], clock: systemClock, log });
  const moment = { at: 0, boot: 'b', uptimeMs: 0 };
  for (let i = 1; ; i++) {
    const link = 'lnk_' + process.argv[2] + '_' + i;
    await journal.append({ grant: 'grt_1', link, purpose: 'exchange', presented: null, sequence: null, generation: null, node: 'n', requestedAt: moment, receivedAt: moment, answer: 'x'.repeat(3000) });
    process.stdout.write(i + '\\n');
  }`;

async function killWriter(child: ChildProcess): Promise<number> {
  let last = 0;
  if (!child.stdout) throw new Error('The writer has no output');
  for await (const line of createInterface(child.stdout)) {
    last = Number(line);
    if (last >= 40) child.kill('SIGKILL');
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  return last;
}

test('[S39] kill -9 in the middle of appending loses no answer that was acknowledged', async () => {
  for (let round = 0; round < 5; round++) {
    const argv = ['--input-type=module', '-e', WRITER, world.dataFolder, String(round)];
    const last = await killWriter(spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'] }));
    expect(last).toBeGreaterThanOrEqual(40);
    const kept = new Set(await unsettledAfterReopening());
    for (let i = 1; i <= last; i++) expect(kept, `record ${i} of ${last}`).toContain(`lnk_${round}_${i}`);
  }
}, 60_000);
