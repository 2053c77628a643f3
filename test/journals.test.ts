/** The journals of nodes that will not come back: brought in from their folders, or given up. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readJournalFolder } from '../src/app.ts';
import { POLICIES } from '../src/core/policies.fixture.ts';
import type { JournalRecord } from '../src/ports/journal.ts';
import type { Log } from '../src/ports/log.ts';
import { createAesSealer } from '../src/world/aes-sealer.ts';
import { openFileJournal } from '../src/world/file-journal.ts';
import { RootKey } from '../src/world/root-key.ts';
import { systemRandom } from '../src/world/system-random.ts';
import { type BenchNode, type ClusterBench, clusterBench } from './support/cluster-bench.ts';
import { json } from './support/scripted-upstream.ts';
import { codeOf } from './support/refusal.ts';

const WISH = { minTtlMs: 5_000, waitMs: 0 };
const log: Log = { debug() {}, info() {}, warn() {}, error() {} };

function tokenOf({ keeper }: BenchNode, clock: ClusterBench['clock'], waitMs = 0): Promise<string> {
  const asked = keeper.tokens.get('eol', { ...WISH, waitMs });
  return clock.until(asked.then((live) => live.accessToken.reveal(), codeOf));
}

/** A grant whose chain waits for the journal of node 1, which died at this step of an exchange. */
async function waiting(step: string): Promise<ClusterBench> {
  const bench = await clusterBench(POLICIES.oneTimeRevoking);
  const { clock, nodes, imported, upstream } = bench;
  await imported();
  await clock.advance(600_000);
  nodes[0].onStep = (reached) => {
    if (reached === step) nodes[0].die();
  };
  void nodes[0].keeper.tokens.get('eol', WISH).catch(() => undefined);
  await clock.advance(60_000);
  expect(await tokenOf(nodes[1], clock)).toBe('held');
  expect(upstream.presented).toEqual(['rt-0-eol']);
  return bench;
}

/** These records in a folder, as a node leaves them. */
async function folderWith(records: readonly JournalRecord[], clock: ClusterBench['clock']): Promise<string> {
  const dataFolder = mkdtempSync(join(tmpdir(), 'evergrant-other-'));
  writeFileSync(join(dataFolder, 'node.id'), 'node-1\n');
  const journal = await openFileJournal({ dataFolder, clock, log });
  for (const record of records) await journal.append(record);
  await journal.close();
  return dataFolder;
}

describe('the journal of a node that will not come back', () => {
  test('is merged from its folder: its answer is served, and nothing was presented twice [S105]', async () => {
    const { clock, nodes, upstream } = await waiting('journaled');
    const folder = await folderWith(nodes[0].journal.records, clock);
    const files = () => readdirSync(join(folder, 'journal')).map((name) => readFileSync(join(folder, 'journal', name)));
    const before = files();
    const told: string[] = [];
    const found = await readJournalFolder(folder, (line) => told.push(line));
    const records = await Array.fromAsync(found.records);
    expect(found.node).toBe('node-1');
    expect(await nodes[1].keeper.journals.merge(records, [])).toMatchObject({ brought: records.length, grants: [] });
    const last = await nodes[1].keeper.journals.merge([], ['node-1']);
    expect(last).toMatchObject({ failed: 0, waiting: 0, unreadable: 0 });
    await clock.advance(1_000);
    expect(await tokenOf(nodes[1], clock, 30_000)).toBe('at-1');
    expect(upstream.presented).toEqual(['rt-0-eol']);
    expect(files()).toEqual(before);
    expect(told).toEqual([]);
    const status = await nodes[2].keeper.journals.status();
    expect(status.nodes.find((one) => one.id === 'node-1')).toMatchObject({
      isHere: false,
      isGivenUp: true,
      grants: 0,
    });
    rmSync(folder, { recursive: true });
  });

  test('merged again changes nothing', async () => {
    const { clock, nodes, store } = await waiting('journaled');
    const { records } = nodes[0].journal;
    await nodes[1].keeper.journals.merge(records, ['node-1']);
    await clock.advance(10_000);
    const grant = (await nodes[1].keeper.grants.get('eol')).id;
    const { version } = await store.chains.read(grant);
    await nodes[1].keeper.journals.merge(records, ['node-1']);
    await clock.advance(10_000);
    expect((await store.chains.read(grant)).version).toBe(version);
  });

  test('with its last record torn gives all but that, and says so', async () => {
    const { clock, nodes } = await waiting('journaled');
    const folder = await folderWith(nodes[0].journal.records, clock);
    const [name] = readdirSync(join(folder, 'journal')).filter((one) => one.endsWith('.journal'));
    const path = join(folder, 'journal', name ?? '');
    writeFileSync(path, readFileSync(path).subarray(0, -20));
    const told: string[] = [];
    const found = await readJournalFolder(folder, (line) => told.push(line));
    expect(await Array.fromAsync(found.records)).toHaveLength(nodes[0].journal.records.length - 1);
    expect(told).toEqual(['journal: the last record was cut off and is dropped']);
    // Also where so little is left of it that nobody can tell what it was.
    const whole = readFileSync(path);
    writeFileSync(path, whole.subarray(0, whole.lastIndexOf('\n') + 12));
    const again = await readJournalFolder(folder, (line) => told.push(line));
    expect(await Array.fromAsync(again.records)).toHaveLength(nodes[0].journal.records.length - 1);
    expect(told).toHaveLength(2);
    rmSync(folder, { recursive: true });
  });

  test('that another root key sealed is refused, and still waited for', async () => {
    const { clock, nodes } = await waiting('journaled');
    const other = createAesSealer(new RootKey(new Uint8Array(32).fill(8)), systemRandom);
    const foreign = nodes[0].journal.records.map((record) => {
      if (record.purpose !== 'exchange') return record;
      const place = { table: 'answers', row: `${record.grant}/${record.link}`, field: 'answer' } as const;
      const own = createAesSealer(new RootKey(new Uint8Array(32).fill(7)), systemRandom);
      return { ...record, answer: other.seal(own.open(record.answer, 'answer of a token endpoint', place), place) };
    });
    const sealed = foreign.filter((record) => record.purpose === 'exchange');
    expect(await nodes[1].keeper.journals.merge(sealed, ['node-1']).then(String, codeOf)).toBe('invalid_request');
    expect((await nodes[1].keeper.journals.status()).nodes[0]).toMatchObject({ isGivenUp: false, grants: 1 });
    expect(await tokenOf(nodes[1], clock)).toBe('held');
  });

  test('is given up when an operator says so: the token is presented again, once that harms least', async () => {
    const { clock, nodes, upstream } = await waiting('received');
    const status = await nodes[1].keeper.journals.status();
    expect(status.nodes.map(({ id, isHere, grants }) => [id, isHere, grants])).toEqual([
      ['node-1', false, 1],
      ['node-2', true, 0],
      ['node-3', true, 0],
    ]);
    const { grants, isAfterRestore } = await nodes[1].keeper.journals.abandon('node-1');
    expect([grants, isAfterRestore]).toEqual([[(await nodes[1].keeper.grants.get('eol')).id], false]);
    await clock.advance(60_000);
    expect(await tokenOf(nodes[1], clock, 30_000)).toBe('at-2');
    expect(upstream.presented).toEqual(['rt-0-eol', 'rt-0-eol']);
  });

  test('is neither merged nor given up while the node is here, and of a node that nobody knows there is none', async () => {
    const { nodes, imported } = await clusterBench();
    await imported();
    const { journals } = nodes[1].keeper;
    expect(await journals.abandon('node-1').then(String, codeOf)).toBe('in_use');
    expect(await journals.abandon('node-2').then(String, codeOf)).toBe('in_use');
    expect(await journals.merge(nodes[0].journal.records, ['node-1']).then(String, codeOf)).toBe('in_use');
    expect(await journals.abandon('node-9').then(String, codeOf)).toBe('not_found');
  });
});

test('a chain whose newest token lay in a journal that was given up after a restore says so when it is refused', async () => {
  const { clock, nodes, upstream, imported, store } = await clusterBench(POLICIES.oneTimeRevoking);
  await imported();
  await clock.advance(600_000);
  nodes[0].die();
  await clock.advance(20_000);
  await store.nodes.declareRestore();
  await clock.advance(20_000);
  expect(await tokenOf(nodes[1], clock)).toBe('held');
  expect((await nodes[1].keeper.journals.status()).isRestoring).toBe(true);
  expect(upstream.presented).toEqual([]);
  const { grants, isAfterRestore } = await nodes[1].keeper.journals.abandon('node-1');
  expect([grants.length, isAfterRestore]).toEqual([1, true]);
  upstream.script.push(() => json(400, { error: 'invalid_grant' }));
  await clock.advance(20_000);
  expect(await tokenOf(nodes[1], clock, 30_000)).toBe('authorization_required');
  const { diagnosis } = await nodes[1].keeper.grants.get('eol');
  expect(diagnosis?.code).toBe('lost_by_restore');
  expect(diagnosis?.evidence).toContain('the journal of node node-1 was given up');
});

test('what came later waits for how its chain began, where another journal may tell that; then it is brought in', async () => {
  const before = await clusterBench(POLICIES.oneTimeRevoking);
  await before.imported();
  await before.clock.advance(600_000);
  expect(await tokenOf(before.nodes[0], before.clock, 30_000)).toBe('at-1');
  const [began, intended, answered] = before.nodes[0].journal.records;
  // A database that knows nothing of it, and two nodes that have not merged for it.
  const { clock, nodes, store, upstream } = await clusterBench(POLICIES.oneTimeRevoking);
  nodes[0].die();
  nodes[2].die();
  await clock.advance(20_000);
  await store.nodes.declareRestore();
  await clock.advance(20_000);
  const { journals } = nodes[1].keeper;
  const merge = async (record: JournalRecord | undefined) => {
    const { brought, waiting: left } = await journals.merge(record ? [record] : [], []);
    return { brought, waiting: left };
  };
  expect(await merge(intended)).toEqual({ brought: 0, waiting: 1 });
  expect(await merge(answered)).toEqual({ brought: 0, waiting: 1 });
  expect(await merge(began)).toEqual({ brought: 1, waiting: 0 });
  expect(await merge(answered)).toEqual({ brought: 1, waiting: 0 });
  await journals.merge([], ['node-1']);
  await journals.abandon('node-3');
  await clock.advance(1_200_000);
  await tokenOf(nodes[1], clock, 30_000);
  expect(upstream.presented[0]).toBe('rt-1');
  expect(upstream.presented).not.toContain('rt-0-eol');
});
