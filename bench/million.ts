/**
 * What a million grants cost while nobody uses them: from start to ready, in memory, and at each look for what is due;
 * beside a thousand. `node bench/million.ts` prints a table, `--json` one object. Takes minutes and some gigabytes.
 */
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import type { Instant } from '../src/core/instant.ts';
import { openSqliteStore } from '../src/storage/sqlite/store.ts';
import { copies, SQLITE } from './many-grants.ts';
import { median, resident, type Shot, shoot } from './measure.ts';
import { benchFolder, type Evergrant, serve } from './servers.ts';

const COUNTS = [1_000, 1_000_000] as const;
/** Grants whose time has come, so that a look has something to find. */
const DUE = 100;
const LOOKS = 200;
const STARTS = 3;
const WARM_UP_S = 2;
const READ_S = 4;

export interface Crowd {
  readonly grants: number;
  readonly fileBytes: number;
  /** From the start of the process to the first answer that it is ready, median. */
  readonly readyMs: number;
  /** Megabytes (10^6) after a rest, with none of the grants in use. */
  readonly memory: number;
  /** One look for what is due, median. */
  readonly dueMs: number;
  /** `/metrics`, the first time and the second. */
  readonly metricsMs: readonly [number, number];
  /** Processor time of one token read, in microseconds. */
  readonly readUs: number;
}

export async function crowds(say: (what: string) => void = () => undefined): Promise<readonly Crowd[]> {
  const results: Crowd[] = [];
  for (const count of COUNTS) results.push(await crowd(count, say));
  return results;
}

async function crowd(count: number, say: (what: string) => void): Promise<Crowd> {
  const folder = await benchFolder();
  try {
    {
      await using first = await serve(folder);
      await first.addGrants(0, 1);
    }
    const file = join(folder, 'data/evergrant.db');
    say(`${count} grants are made`);
    fill(file, count);
    const { size } = await stat(file);
    say(`${count} grants, ${(size / 1e9).toFixed(1)} GB: starts`);
    const readyMs: number[] = [];
    for (let i = 1; i < STARTS; i++) await (await start(folder, readyMs))[Symbol.asyncDispose]();
    const served = await atRest(folder, readyMs);
    return { grants: count, fileBytes: size, readyMs: median(readyMs), ...served, dueMs: await lookMs(file) };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** No fsync on the way: what is not whole afterwards is thrown away anyhow. */
function fill(file: string, count: number): void {
  const db = new DatabaseSync(file);
  db.exec('PRAGMA synchronous = OFF; PRAGMA cache_size = -200000; PRAGMA foreign_keys = OFF');
  const row = db.prepare("SELECT id FROM records WHERE kind = 'grant'").get();
  for (const sql of copies(SQLITE, String(row?.id), 'grant-0', count)) db.exec(sql);
  db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  db.close();
}

async function start(folder: string, readyMs: number[]): Promise<Evergrant> {
  const startedAt = performance.now();
  const server = await serve(folder);
  await timeOf(server, '/readyz');
  readyMs.push(performance.now() - startedAt);
  return server;
}

async function atRest(folder: string, readyMs: number[]): Promise<Pick<Crowd, 'memory' | 'metricsMs' | 'readUs'>> {
  await using server = await start(folder, readyMs);
  const memory = await resident(server);
  const metricsMs = [await timeOf(server, '/metrics'), await timeOf(server, '/metrics')] as const;
  return { memory, metricsMs, readUs: await costOfRead(server) };
}

/** Of the one grant that real code made: its answer opens. */
async function costOfRead({ origin, key, pid }: Evergrant): Promise<number> {
  const headers = { authorization: `Bearer ${key}` };
  const read: Shot = { url: `${origin}/v1/grants/grant-0/token`, pid, method: 'POST', headers };
  await shoot(read, WARM_UP_S);
  return (await shoot(read, READ_S)).cpu;
}

async function timeOf({ origin, key }: Evergrant, path: string): Promise<number> {
  const startedAt = performance.now();
  const answer = await fetch(origin + path, { headers: { authorization: `Bearer ${key}` } });
  await answer.text();
  if (!answer.ok) throw new Error(`${path} was answered with ${answer.status}`);
  return performance.now() - startedAt;
}

/** Of a hundred grants the time has come. */
async function lookMs(file: string): Promise<number> {
  const db = new DatabaseSync(file);
  db.exec(`UPDATE chains SET due_at = 1 WHERE grant_id IN (
    SELECT grant_id FROM chains WHERE version > 0 ORDER BY grant_id DESC LIMIT ${DUE})`);
  db.close();
  const store = openSqliteStore(file);
  const times: number[] = [];
  for (let i = 0; i < LOOKS; i++) {
    const startedAt = performance.now();
    const due = await store.chains.due(2 as Instant, DUE);
    times.push(performance.now() - startedAt);
    if (due.length !== DUE) throw new Error(`${due.length} grants were due instead of ${DUE}`);
  }
  await store.close();
  return median(times);
}

export function crowdTable(results: readonly Crowd[]): string {
  const rows = results.map(({ grants, fileBytes, readyMs, memory, dueMs, readUs, metricsMs: [first, second] }) => {
    const times = `${dueMs.toFixed(2)} ms | ${first.toFixed(0)} ms, then ${second.toFixed(0)} ms | ${readUs.toFixed(0)} µs`;
    return `| ${grants} | ${(fileBytes / 1e6).toFixed(0)} MB | ${readyMs.toFixed(0)} ms | ${memory.toFixed(0)} MB | ${times} |`;
  });
  const head =
    '| grants | database | start to ready | memory at rest | a look for what is due | `/metrics` | processor time of a token read |';
  return [head, '|---|---|---|---|---|---|---|', ...rows].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const results = await crowds((what) => console.error(`… ${what}`));
  console.log(process.argv.includes('--json') ? JSON.stringify(results) : crowdTable(results));
}
