/**
 * What a million grants cost while nobody uses them: from start to ready, in memory, and at each look for what is due;
 * and what ten thousand of them cost that are asked for in turns; beside stores of ten thousand and of a thousand.
 * `node bench/million.ts` prints a table, `--json` one object. Takes minutes and some gigabytes.
 */
import { closeSync, fsyncSync, openSync } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import type { Instant } from '../src/core/instant.ts';
import { openSqliteStore } from '../src/storage/sqlite/store.ts';
import { copies, SQLITE } from './many-grants.ts';
import { clientTurns, FORM } from './clients.ts';
import { compare, median, resident, type Shot, tokenTurns, type Turn } from './measure.ts';
import { benchFolder, type Evergrant, serve, startBaseline } from './servers.ts';

/**
 * Grants of real code, with living tokens, that are asked for in turns; and stores that hold copies beside them. So what
 * comes from the number in use, and what from the number in the store, can be told apart.
 */
const STORES = [[1_000], [10_000, 1_000_000]] as const;
/** Grants whose time has come, so that a look has something to find. */
const DUE = 100;
const LOOKS = 200;
const STARTS = 3;
/** Each client has so many of them. */
const GRANTS_OF_CLIENT = 100;
const ROUNDS = 3;
/** Asked at once while everything is brought into memory. */
const AT_ONCE = 64;

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
  readonly hot: number;
  /** `POST /v1/grants/{g}/token` and `POST /oauth/token` of the hot ones in turns. */
  readonly reads: Cost;
  readonly clients: Cost;
}

/** Processor time of one request in microseconds, and that of a bare server by it, in the same run. */
export interface Cost {
  readonly cpu: number;
  readonly bare: number;
  readonly ratio: number;
}

export async function crowds(say: (what: string) => void = () => undefined): Promise<readonly Crowd[]> {
  const results: Crowd[] = [];
  for (const [hot, ...counts] of STORES) results.push(...(await storesOf(hot, counts, say)));
  return results;
}

/** One folder: so many grants of real code, then more and more copies beside them. */
async function storesOf(hot: number, counts: readonly number[], say: (what: string) => void): Promise<Crowd[]> {
  const folder = await benchFolder();
  try {
    say(`${hot} grants are made, with living tokens and clients`);
    const turns = await makeHot(folder, hot);
    const file = join(folder, 'data/evergrant.db');
    const results: Crowd[] = [];
    for (const [i, count] of [hot, ...counts].entries()) {
      if (i > 0) fill(file, count);
      const { size: fileBytes } = await stat(file);
      say(`${count} grants, ${(fileBytes / 1e9).toFixed(1)} GB: starts`);
      const readyMs: number[] = [];
      for (let starts = 1; starts < STARTS; starts++) await (await start(folder, readyMs))[Symbol.asyncDispose]();
      const served = await atRest(folder, readyMs, hot, turns);
      const dueMs = await lookMs(file);
      results.push({ grants: count, hot, fileBytes, readyMs: median(readyMs), ...served, dueMs });
    }
    return results;
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function makeHot(folder: string, hot: number): Promise<readonly Turn[]> {
  await using server = await serve(folder);
  await server.addGrants(0, hot);
  const aliases = Array.from({ length: hot }, (_, i) => `grant-${i}`);
  const turns: Turn[] = [];
  for (let i = 0; i < hot; i += GRANTS_OF_CLIENT) {
    turns.push(...(await clientTurns(server, aliases.slice(i, i + GRANTS_OF_CLIENT))));
  }
  return turns;
}

/** No fsync on the way, for what is not whole afterwards is thrown away anyhow; one at its end, so that no server pays it. */
function fill(file: string, count: number): void {
  const db = new DatabaseSync(file);
  db.exec('PRAGMA synchronous = OFF; PRAGMA cache_size = -200000; PRAGMA foreign_keys = OFF');
  const row = db
    .prepare("SELECT id FROM record_terms WHERE kind = 'grant' AND name = 'alias' AND value = 'grant-0'")
    .get();
  const there = db.prepare('SELECT count(*) AS grants FROM chains').get();
  for (const sql of copies(SQLITE, String(row?.id), 'grant-0', count - Number(there?.grants))) db.exec(sql);
  db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  db.close();
  const written = openSync(file, 'r+');
  fsyncSync(written);
  closeSync(written);
}

async function start(folder: string, readyMs: number[]): Promise<Evergrant> {
  const startedAt = performance.now();
  const server = await serve(folder);
  await timeOf(server, '/readyz');
  readyMs.push(performance.now() - startedAt);
  return server;
}

async function atRest(
  folder: string,
  readyMs: number[],
  hot: number,
  turns: readonly Turn[],
): Promise<Pick<Crowd, 'memory' | 'metricsMs' | 'reads' | 'clients'>> {
  await using server = await start(folder, readyMs);
  const memory = await resident(server);
  const metricsMs = [await timeOf(server, '/metrics'), await timeOf(server, '/metrics')] as const;
  const reads = await costOf(server, tokenTurns(hot), { authorization: `Bearer ${server.key}` });
  return { memory, metricsMs, reads, clients: await costOf(server, turns, FORM) };
}

/** Beside a bare server with the same answer. */
async function costOf(
  server: Evergrant,
  turns: readonly Turn[],
  headers: Readonly<Record<string, string>>,
): Promise<Cost> {
  await askOnce(server, turns, headers);
  const { path = '', body } = turns[0] ?? {};
  await using bare = await startBaseline(server.origin + path, headers, body);
  const [ours, theirs] = [server, bare].map(
    ({ origin, pid }): Shot => ({ url: origin + path, pid, method: 'POST', headers, turns }),
  );
  if (!ours || !theirs) throw new Error('two servers are compared');
  const { evergrant, baseline, cpuRatio } = await compare(ours, theirs, ROUNDS);
  return { cpu: evergrant.cpu, bare: baseline.cpu, ratio: cpuRatio };
}

/** What is asked for in turns is in memory from then on. */
async function askOnce(
  { origin }: Evergrant,
  turns: readonly Turn[],
  headers: Readonly<Record<string, string>>,
): Promise<void> {
  const ask = async ({ path, body }: Turn): Promise<void> => {
    const answer = await fetch(origin + path, { method: 'POST', headers, ...(body === undefined ? {} : { body }) });
    await answer.arrayBuffer();
    if (!answer.ok) throw new Error(`${path} was answered with ${answer.status}`);
  };
  for (let i = 0; i < turns.length; i += AT_ONCE) await Promise.all(turns.slice(i, i + AT_ONCE).map(ask));
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
  const rows = results.map(({ grants, fileBytes, readyMs, memory, dueMs, hot, reads, clients, metricsMs }) => {
    const [first, second] = metricsMs;
    const times = `${dueMs.toFixed(2)} ms | ${first.toFixed(0)} ms, then ${second.toFixed(0)} ms`;
    const size = `${(fileBytes / 1e6).toFixed(0)} MB | ${readyMs.toFixed(0)} ms | ${memory.toFixed(0)} MB`;
    return `| ${grants} | ${size} | ${times} | ${hot} | ${costCell(reads)} | ${costCell(clients)} |`;
  });
  const head =
    '| grants | database | start to ready | memory at rest | a look for what is due | `/metrics` | asked for in turns | token read | client |';
  return [head, '|---|---|---|---|---|---|---|---|---|', ...rows].join('\n');
}

function costCell({ cpu, bare, ratio }: Cost): string {
  return `${cpu.toFixed(0)} µs, bare ${bare.toFixed(0)} µs: ${ratio.toFixed(2)}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const results = await crowds((what) => console.error(`… ${what}`));
  console.log(process.argv.includes('--json') ? JSON.stringify(results) : crowdTable(results));
}
