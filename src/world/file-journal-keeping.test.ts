import { existsSync, mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Instant } from '../core/instant.ts';
import type { Sealed } from '../core/secret.ts';
import type { AnswerRecord } from '../ports/journal.ts';
import { type Disk, nodeDisk } from './file-journal-disk.ts';
import { encode } from './journal-frame.ts';
import {
  DAY_MS,
  beginning,
  eachWithOwnFolder,
  ids,
  intent,
  linksSince,
  moment,
  numbersOf,
  openJournal,
  record,
  segments,
  settled,
  unsettledAfterReopening,
  world,
} from './file-journal.fixture.ts';

eachWithOwnFolder();

describe('making room', () => {
  test('of a chain, what newer answers made useless leaves after a day, not before; the newest stays for good', async () => {
    const journal = await openJournal();
    for (const name of ['a', 'b']) await journal.append(record(name));
    journal.settled('lnk_a', 'tokens');
    journal.settled('lnk_b', 'tokens');
    await journal.close();
    world.nowMs += DAY_MS - 1;
    expect(await linksSince(await openJournal(), 0)).toEqual(['lnk_a', 'lnk_b']);
    for (let i = 0; i < 3; i++) {
      world.nowMs += 100 * DAY_MS;
      expect(await linksSince(await openJournal(), 0)).toEqual(['lnk_b']);
    }
    expect(segments().length).toBeLessThanOrEqual(2);
  });

  test('an answer without tokens makes no older one useless, and leaves', async () => {
    const journal = await openJournal();
    for (const name of ['a', 'refused']) await journal.append(record(name));
    journal.settled('lnk_a', 'tokens');
    journal.settled('lnk_refused', 'nothing');
    await journal.close();
    world.nowMs += 2 * DAY_MS;
    expect(await linksSince(await openJournal(), 0)).toEqual(['lnk_a']);
  });

  test('how a chain began stays until it begins anew, and that a grant ended stays for ever', async () => {
    const journal = await openJournal();
    await journal.append(beginning('began'));
    await journal.append(record('a'));
    await journal.append({ ...beginning('other'), grant: 'grt_2' });
    for (const name of ['began', 'a', 'other']) journal.settled(`lnk_${name}`, 'tokens');
    await journal.close();
    world.nowMs += 2 * DAY_MS;
    const second = await openJournal();
    expect(await linksSince(second, 0)).toEqual(['lnk_began', 'lnk_a', 'lnk_other']);
    await second.append(beginning('anew'));
    second.settled('lnk_anew', 'tokens');
    await second.append({ ...ids('end'), grant: 'grt_2', purpose: 'ended', at: moment() });
    second.settled('lnk_end', 'nothing');
    await second.close();
    for (let i = 0; i < 3; i++) {
      world.nowMs += 2 * DAY_MS;
      expect(await linksSince(await openJournal(), 0)).toEqual(['lnk_anew', 'lnk_end']);
    }
  });

  test('of what was about to be sent, the newest stays until something follows it', async () => {
    const journal = await openJournal();
    for (const name of ['a', 'b']) await journal.append(record(name));
    for (const name of ['a', 'b']) journal.settled(`lnk_${name}`, 'tokens');
    await journal.note(intent('first'));
    await journal.note(intent('second'));
    await journal.close();
    for (let i = 0; i < 3; i++) {
      world.nowMs += 100 * DAY_MS;
      expect(await linksSince(await openJournal(), 0)).toEqual(['lnk_b', 'lnk_second']);
    }
    const last = await openJournal();
    await last.append(record('c'));
    last.settled('lnk_c', 'tokens');
    await last.close();
    world.nowMs += 100 * DAY_MS;
    expect(await linksSince(await openJournal(), 0)).toEqual(['lnk_c']);
  });

  test('a record that was never settled stays for good, and keeps its number', async () => {
    const journal = await openJournal();
    for (const name of ['a', 'stuck', 'b', 'c']) await journal.append(record(name));
    for (const name of ['a', 'b', 'c']) journal.settled(`lnk_${name}`, 'tokens');
    await journal.close();
    world.nowMs += 100 * DAY_MS;
    await openJournal();
    const later = await openJournal();
    expect(later.unsettled().map((one) => one.link)).toEqual(['lnk_stuck']);
    expect(later.settledUpTo()).toBe(1);
    expect(numbersOf(await Array.fromAsync(later.since(0)))).toEqual([2, 4]);
  });

  test('a record that was settled after a restart does not come up again', async () => {
    const first = await openJournal();
    await first.append(record('a'));
    await first.append(record('stuck'));
    await first.close();
    const second = await openJournal();
    second.settled('lnk_a', 'tokens');
    await second.close();
    for (let i = 0; i < 3; i++) {
      world.nowMs += 2 * DAY_MS;
      expect(await unsettledAfterReopening()).toEqual(['lnk_stuck']);
    }
  });

  test('while it works, segments that became useless are rewritten, and nothing that is needed goes', async () => {
    const journal = await openJournal({ segmentBytes: 4_000 });
    const chains = 5;
    for (let i = 0; i < 200; i++) {
      world.nowMs += DAY_MS / 20;
      await journal.append({ ...record(String(i)), grant: `grt_${i % chains}` });
      if (i !== 17) journal.settled(`lnk_${i}`, 'tokens');
      await settled();
    }
    const kept = await linksSince(journal, 0);
    const newest = Array.from({ length: chains }, (_, i) => `lnk_${200 - chains + i}`);
    expect(kept).toEqual(expect.arrayContaining(['lnk_17', ...newest]));
    expect(kept.length).toBeLessThan(60);
    expect(world.reports).toEqual([]);
    await journal.close();
    const again = await openJournal({ segmentBytes: 4_000 });
    expect(again.unsettled().map((one) => one.link)).toEqual(['lnk_17']);
    expect(await linksSince(again, 0)).toEqual(expect.arrayContaining(['lnk_17', ...newest]));
  });
});

describe('numbers', () => {
  test('grow by one for ever, and go on after a restart, also where the newest records left', async () => {
    const journal = await openJournal();
    expect([await journal.append(record('a')), await journal.append(record('b'))]).toEqual([1, 2]);
    journal.settled('lnk_a', 'nothing');
    journal.settled('lnk_b', 'nothing');
    await journal.close();
    for (let i = 0; i < 3; i++) {
      world.nowMs += 2 * DAY_MS;
      await (await openJournal()).close();
    }
    const later = await openJournal();
    expect(await linksSince(later, 0)).toEqual([]);
    expect(await later.append(record('c'))).toBe(3);
    later.continueAfter(10);
    expect(await later.append(record('d'))).toBe(11);
  });

  test('tell up to where all is settled, whatever is settled first', async () => {
    const journal = await openJournal();
    expect(journal.settledUpTo()).toBe(0);
    for (const name of ['a', 'b', 'c']) await journal.append(record(name));
    journal.settled('lnk_b', 'tokens');
    expect(journal.settledUpTo()).toBe(0);
    journal.settled('lnk_a', 'tokens');
    expect(journal.settledUpTo()).toBe(2);
    journal.settled('lnk_c', 'tokens');
    expect(journal.settledUpTo()).toBe(3);
    const [, second] = await Array.fromAsync(journal.since(0));
    if (second) journal.pending(second);
    expect(journal.settledUpTo()).toBe(1);
    await journal.close();
    expect((await openJournal()).settledUpTo()).toBe(3);
  });

  test('an append that is under way is not settled yet', async () => {
    const journal = await openJournal();
    const appending = journal.append(record('a'));
    expect(journal.settledUpTo()).toBe(0);
    journal.settled('lnk_a', 'tokens');
    await appending;
  });

  test('that the store was told are known after a restart', async () => {
    const journal = await openJournal();
    expect(journal.lastTold).toBe(0);
    await journal.append(record('a'));
    journal.settled('lnk_a', 'tokens');
    journal.told(1);
    await journal.close();
    for (let i = 0; i < 3; i++) {
      world.nowMs += 2 * DAY_MS;
      const again = await openJournal();
      expect(again.lastTold).toBe(1);
      await again.close();
    }
  });

  test('tell where to read on: a start reads the tail of the journal, not the whole', async () => {
    const first = await openJournal({ segmentBytes: 20_000 });
    for (let i = 0; i < 2_000; i += 100) {
      await Promise.all(Array.from({ length: 100 }, (_, j) => first.append(record(String(i + j)))));
      for (let j = 0; j < 100; j++) first.settled(`lnk_${i + j}`, 'tokens');
    }
    await first.close();
    expect(segments().length).toBeGreaterThan(15);
    const read = new Set<string>();
    const disk: Disk = {
      ...nodeDisk,
      async readWhole(path) {
        read.add(path);
        return nodeDisk.readWhole(path);
      },
    };
    const again = await openJournal({ disk, segmentBytes: 20_000 });
    const since = await linksSince(again, 1_990);
    expect(since).toHaveLength(10);
    expect(since.at(-1)).toBe('lnk_1999');
    expect(read.size).toBeLessThanOrEqual(3);
  });
});

describe('a journal of a version that did not number its records', () => {
  test('is read as it is: what was not settled comes up, and numbers go on after it', async () => {
    const folder = join(world.dataFolder, 'journal');
    mkdirSync(folder);
    const { generation: _, ...old } = record('x');
    const frames = ['a', 'b', 'c', 'd'].map((name) => ({
      ...old,
      link: `lnk_${name}` as const,
      answer: name as Sealed,
    }));
    const lines = frames.map((one) => encode({ type: 'received', record: one as AnswerRecord }));
    const mark = encode({ type: 'settled', link: 'lnk_a', at: world.nowMs as Instant });
    writeFileSync(join(folder, '0000000003.journal'), Buffer.concat(lines.slice(0, 2)));
    writeFileSync(join(folder, '0000000004.journal'), Buffer.concat([...lines.slice(2), mark]));
    const journal = await openJournal();
    expect(journal.unsettled().map((one) => one.link)).toEqual(['lnk_b', 'lnk_c', 'lnk_d']);
    expect(journal.unsettled().every((one) => one.generation === null)).toBe(true);
    expect(journal.settledUpTo()).toBe(1);
    expect(numbersOf(await Array.fromAsync(journal.since(0)))).toEqual([1, 2, 3, 4]);
    expect(await journal.append(record('e'))).toBe(5);
    for (const name of ['b', 'c', 'd', 'e']) journal.settled(`lnk_${name}`, 'tokens');
    await journal.close();
    const again = await openJournal();
    expect(again.unsettled()).toEqual([]);
    expect(again.settledUpTo()).toBe(5);
    world.nowMs += 2 * DAY_MS;
    await openJournal();
    expect(await linksSince(await openJournal(), 0)).toEqual(['lnk_e']);
  });
});

describe('whichever call to the disk is the one', () => {
  let acknowledged: { readonly number: number; readonly link: string; readonly grant: number }[];
  let stuck: string[];

  /** Two chains, of which one answer is never settled; segments that fill and grow old, and several starts. */
  async function story(disk: Disk): Promise<void> {
    for (let start = 0; start < 2; start++) {
      const journal = await openJournal({ disk, segmentBytes: 2_000 }).catch(() => null);
      for (let i = 0; journal && i < 8; i++) {
        world.nowMs += DAY_MS / 4;
        const name = `${start}-${i}`;
        const number = await journal.append({ ...record(name), grant: `grt_${i % 2}` }).catch(() => null);
        if (number === null) continue;
        acknowledged.push({ number, link: `lnk_${name}`, grant: i % 2 });
        if (name === '0-3') stuck.push(`lnk_${name}`);
        else journal.settled(`lnk_${name}`, 'tokens');
        await settled();
      }
      await journal?.close().catch(() => undefined);
      world.nowMs += 2 * DAY_MS;
    }
  }

  /** The n-th call fails: that one alone, or with all that follow, and what was not synced by then is lost with the power. */
  function failing(nth: number, how: 'once' | 'power') {
    let calls = 0;
    const synced = new Map<string, number>();
    const paths = new Map<unknown, string>();
    const ends = new Map<unknown, number>();
    const disk: Disk = {
      ...nodeDisk,
      async create(path) {
        const file = await nodeDisk.create(path);
        paths.set(file, path);
        synced.set(path, 0);
        return file;
      },
      async write(file, bytes, position) {
        await nodeDisk.write(file, bytes, position);
        ends.set(file, position + bytes.length);
      },
      async sync(file) {
        synced.set(paths.get(file) ?? '', ends.get(file) ?? 0);
      },
    };
    const counted = Object.entries(disk).map(([name, call]: [string, (...given: unknown[]) => Promise<unknown>]) => {
      return [
        name,
        async (...given: unknown[]) => {
          const isMeant = how === 'once' ? calls === nth : calls >= nth;
          calls++;
          if (isMeant) throw Object.assign(new Error('input/output error'), { code: 'EIO' });
          return call(...given);
        },
      ];
    });
    const losePower = () => {
      for (const [path, bytes] of synced) if (existsSync(path)) truncateSync(path, bytes);
    };
    return { disk: Object.fromEntries(counted) as Disk, calls: () => calls, losePower };
  }

  test.each(['once', 'power'] as const)(
    'that fails (%s), no answer that was acknowledged and is still needed is lost',
    async (how) => {
      for (let nth = 0; ; nth++) {
        rmSync(join(world.dataFolder, 'journal'), { recursive: true, force: true });
        world.nowMs = 1_800_000_000_000;
        [acknowledged, stuck] = [[], []];
        const { disk, calls, losePower } = failing(nth, how);
        await story(disk);
        if (how === 'power') losePower();
        const journal = await openJournal({ segmentBytes: 2_000 });
        const kept = await Array.fromAsync(journal.since(0));
        const newest = [0, 1].map((grant) => acknowledged.findLast((one) => one.grant === grant)?.link);
        const needed = [...stuck, ...newest].filter((link) => link !== undefined);
        expect(
          kept.map((one) => one.record.link as string),
          `call ${nth}`,
        ).toEqual(expect.arrayContaining(needed));
        expect(
          journal.unsettled().map((one) => one.link as string),
          `call ${nth}`,
        ).toEqual(expect.arrayContaining(stuck));
        const numbers = numbersOf(kept);
        expect(numbers, `call ${nth}`).toEqual([...new Set(numbers)].toSorted((a, b) => a - b));
        for (const { number, link } of acknowledged) {
          const found = kept.find((one) => one.number === number);
          expect(found?.record.link ?? link, `number ${number}, call ${nth}`).toBe(link);
        }
        await journal.close();
        if (calls() <= nth) {
          expect(nth).toBeGreaterThan(80);
          return;
        }
      }
    },
    120_000,
  );
});
