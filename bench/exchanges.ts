/**
 * Cold exchanges a second with 1,000 grants due, against the emulator without latency, beside the plain loop that
 * somebody would write first: POST on a fresh connection, one fsynced commit of the answer, the next. In a folder on
 * disk and in one in memory, in turns in one run; compare the ratios. The fsyncs are counted by `strace` in laps of
 * their own. `node bench/exchanges.ts` prints a table, `--json` one object.
 */
import { type ChildProcess, fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import type { Ready } from './emulator-servers.ts';
import type { Lap, Order } from './exchange-worker.ts';
import { median } from './measure.ts';

const GRANTS = 1_000;
const TOGETHER = 256;
const WARM_UPS = 2;
const ROUNDS = 5;
const COMMITS = 200;
const IN_MEMORY = '/dev/shm';

export interface ExchangeSpeed {
  /** Where the databases and the journal are. */
  readonly folder: 'disk' | 'memory';
  /** Milliseconds of one fsynced commit of SQLite there. */
  readonly commitMs: number;
  readonly keeper: Side;
  readonly loop: Side;
  /** Exchanges a second by the loop's, median of the rounds. */
  readonly ratio: number;
}

interface Side {
  readonly perSecond: number;
  /** Milliseconds of processor time for one exchange, without the emulator's. */
  readonly cpuMs: number;
  /** Null where they cannot be counted. */
  readonly fsyncs: number | null;
}

export async function exchangeSpeed(): Promise<readonly ExchangeSpeed[]> {
  const results: ExchangeSpeed[] = [];
  for (const folder of ['disk', 'memory'] as const) {
    if (folder === 'memory' && !existsSync(IN_MEMORY)) continue;
    results.push(await compare(folder));
  }
  return results;
}

async function compare(place: ExchangeSpeed['folder']): Promise<ExchangeSpeed> {
  const folder = await mkdtemp(join(place === 'disk' ? tmpdir() : IN_MEMORY, 'evergrant-bench-'));
  try {
    const rounds: { readonly keeper: Lap; readonly loop: Lap }[] = [];
    {
      await using keeper = await Worker.start('keeper', folder);
      await using loop = await Worker.start('loop', folder);
      for (let i = 0; i < WARM_UPS; i++) for (const one of [keeper, loop]) await one.lap();
      for (let i = 0; i < ROUNDS; i++) rounds.push({ loop: await loop.lap(), keeper: await keeper.lap() });
    }
    const sideOf = async (name: Order['side']): Promise<Side> => {
      const laps = rounds.map((round) => round[name]);
      return {
        perSecond: median(laps.map(perSecond)),
        cpuMs: median(laps.map((lap) => lap.cpuMs / lap.exchanges)),
        fsyncs: await fsyncsOf(name, join(folder, `${name}-counted`)),
      };
    };
    return {
      folder: place,
      commitMs: commitMs(folder),
      keeper: await sideOf('keeper'),
      loop: await sideOf('loop'),
      ratio: median(rounds.map((round) => perSecond(round.keeper) / perSecond(round.loop))),
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}

function perSecond(lap: Lap): number {
  return lap.exchanges / (lap.ms / 1000);
}

function commitMs(folder: string): number {
  const db = new DatabaseSync(join(folder, 'commits.db'));
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (x)');
  const insert = db.prepare("INSERT INTO t (x) VALUES ('x')");
  const times = Array.from({ length: COMMITS }, () => {
    const startedAt = performance.now();
    insert.run();
    return performance.now() - startedAt;
  });
  db.close();
  return median(times);
}

/** Fsyncs for one exchange, by the system calls of a process that does nothing else at that time. */
async function fsyncsOf(side: Order['side'], folder: string): Promise<number | null> {
  if (spawnSync('strace', ['-V']).error) return null;
  const trace = `${folder}.trace`;
  await using worker = await Worker.start(side, folder, trace);
  await worker.lap();
  const before = await callsIn(trace);
  const { exchanges } = await worker.lap();
  return ((await callsIn(trace)) - before) / exchanges;
}

async function callsIn(trace: string): Promise<number> {
  return (await readFile(trace, 'utf8')).match(/\b(?:fsync|fdatasync)\(/g)?.length ?? 0;
}

class Worker implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #emulator: ChildProcess;

  private constructor(child: ChildProcess, emulator: ChildProcess) {
    this.#child = child;
    this.#emulator = emulator;
  }

  static async start(side: Order['side'], folder: string, trace?: string): Promise<Worker> {
    const emulator = fork(join(import.meta.dirname, 'emulator-servers.ts'), { serialization: 'advanced' });
    emulator.send({ kind: 'emulator', families: GRANTS });
    const upstream = await answerOf<Ready>(emulator);
    const words = ['-f', '-qq', '--seccomp-bpf', '-e', 'trace=fsync,fdatasync', '-o', trace ?? '', process.execPath];
    const child = fork(
      join(import.meta.dirname, 'exchange-worker.ts'),
      trace === undefined ? {} : { execPath: 'strace', execArgv: words },
    );
    await mkdir(folder, { recursive: true });
    child.send({ side, folder, upstream, together: TOGETHER } satisfies Order);
    await answerOf(child);
    return new Worker(child, emulator);
  }

  lap(): Promise<Lap> {
    this.#child.send('lap');
    return answerOf<Lap>(this.#child);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of [this.#child, this.#emulator]) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const over = once(child, 'exit');
      child.disconnect();
      await over;
    }
  }
}

async function answerOf<T>(child: ChildProcess): Promise<T> {
  const ended = once(child, 'exit').then(() => Promise.reject(new Error('a process of the bench ended early')));
  ended.catch(() => undefined);
  const [answer] = (await Promise.race([once(child, 'message'), ended])) as [T];
  return answer;
}

export function exchangeTable(results: readonly ExchangeSpeed[]): string {
  const rows = results.flatMap(({ folder, commitMs: ms, keeper, loop, ratio }) => {
    const row = (name: string, side: Side, by: string): string =>
      `| ${folder}, a commit takes ${ms.toFixed(2)} ms | ${name} | ${Math.round(side.perSecond)} | ${by} | ${side.cpuMs.toFixed(2)} ms | ${side.fsyncs?.toFixed(3) ?? 'not counted'} |`;
    return [row('plain loop', loop, '1.00'), row('evergrant', keeper, ratio.toFixed(2))];
  });
  return [
    '| where | who | exchanges a second | ratio | processor time | fsyncs an exchange |',
    '|---|---|---|---|---|---|',
    ...rows,
  ].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const results = await exchangeSpeed();
  console.log(process.argv.includes('--json') ? JSON.stringify(results) : exchangeTable(results));
}
