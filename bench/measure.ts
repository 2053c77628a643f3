/** The measurements of a running server. Each gives figures and no judgement. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import autocannon from 'autocannon';
import { type Evergrant, startBaseline, startEvergrant } from './servers.ts';

const PROGRAM = join(import.meta.dirname, '../bin/evergrant.js');
const CONNECTIONS = 32;
const ROUNDS = 5;
const ROUND_S = 4;
const WARM_UP_S = 3;
const MANY = 1_000;
const REST_MS = 5_000;
const STARTS = 20;

export interface Speed {
  readonly connections: number;
  readonly rounds: number;
  readonly roundSeconds: number;
  /** Medians over the rounds. */
  readonly evergrant: Side;
  readonly baseline: Side;
  readonly ratio: number;
  /** The ratio of each round, lowest first. */
  readonly ratios: readonly number[];
  /** Bare processor time by ours. */
  readonly cpuRatio: number;
}

interface Side {
  readonly perSecond: number;
  /** Processor time of the server for one request, in microseconds: the figure that other load moves least. */
  readonly cpu: number;
  /** Milliseconds. */
  readonly p99: number;
}

/** How many grants are asked for in turns where it is not one. */
export const CROWD = 10_000;

/** `POST /v1/grants/{g}/token` with live tokens of so many grants, beside a bare server with the same answer. */
export async function tokenSpeed(grants: number): Promise<Speed> {
  await using evergrant = await startEvergrant();
  await evergrant.addGrants(0, grants);
  const headers = { authorization: `Bearer ${evergrant.key}` };
  const turns = tokenTurns(grants);
  const path = turns[0]?.path ?? '';
  await using baseline = await startBaseline(evergrant.origin + path, headers);
  const [ours, theirs] = [evergrant, baseline].map(
    ({ origin, pid }): Shot => ({ url: origin + path, pid, method: 'POST', headers, turns }),
  );
  if (!ours || !theirs) throw new Error('two servers are compared');
  return await compare(ours, theirs);
}

/** The token of each of so many grants. */
export function tokenTurns(grants: number): readonly Turn[] {
  return Array.from({ length: grants }, (_, i) => ({ path: `/v1/grants/grant-${i}/token` }));
}

export interface Turn {
  readonly path: string;
  readonly body?: string;
}

/** What is asked again and again, and the process that answers. */
export interface Shot {
  readonly url: string;
  readonly pid: number;
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Asked for in turns, instead of the one of the URL. */
  readonly turns?: readonly Turn[];
}

/** Two servers in turns. */
export async function compare(ours: Shot, theirs: Shot, many = ROUNDS): Promise<Speed> {
  await shoot(ours, WARM_UP_S);
  await shoot(theirs, WARM_UP_S);
  const rounds: { readonly ours: Side; readonly theirs: Side }[] = [];
  for (let i = 0; i < many; i++) {
    rounds.push({ theirs: await shoot(theirs, ROUND_S), ours: await shoot(ours, ROUND_S) });
  }
  const sides = {
    evergrant: medians(rounds.map((one) => one.ours)),
    baseline: medians(rounds.map((one) => one.theirs)),
  };
  const frame = { connections: CONNECTIONS, rounds: many, roundSeconds: ROUND_S };
  return {
    ...frame,
    ...sides,
    ratio: sides.evergrant.perSecond / sides.baseline.perSecond,
    ratios: rounds.map((one) => one.ours.perSecond / one.theirs.perSecond).toSorted((a, b) => a - b),
    cpuRatio: sides.baseline.cpu / sides.evergrant.cpu,
  };
}

async function shoot({ pid, turns, ...request }: Shot, seconds: number): Promise<Side> {
  const before = cpuSeconds(pid);
  const shares = turns && turns.length > 1 ? sharesOf(turns) : null;
  const { method, headers } = request;
  const result = await autocannon({
    ...request,
    ...(shares && {
      setupClient: (client) => client.setRequests((shares.pop() ?? []).map((turn) => ({ method, headers, ...turn }))),
    }),
    connections: CONNECTIONS,
    duration: seconds,
  });
  const wrong = result.errors + result.timeouts + result.non2xx;
  if (wrong > 0) throw new Error(`${wrong} requests to ${request.url} were not answered with success`);
  const cpu = ((cpuSeconds(pid) - before) * 1e6) / result.requests.total;
  return { perSecond: result.requests.total / result.duration, cpu, p99: result.latency.p99 };
}

/** Each connection asks for its own part. */
function sharesOf(turns: readonly Turn[]): Turn[][] {
  return Array.from({ length: CONNECTIONS }, (_, own) => turns.filter((_turn, i) => i % CONNECTIONS === own));
}

/**
 * User and system time of a process and its children so far: fields 14 and 15 of proc(5), in ticks of 10 ms. NaN elsewhere
 * than Linux.
 */
export function cpuSeconds(pid: number): number {
  const ticks = [pid, ...childrenOf(pid)].map((one) => {
    const fields = statOf(one);
    return Number(fields[11]) + Number(fields[12]);
  });
  return ticks.reduce((sum, one) => sum + one, 0) / 100;
}

function childrenOf(pid: number): readonly number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/** From the third field on. */
function statOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  } catch {
    return [];
  }
}

function medians(sides: readonly Side[]): Side {
  const of = (name: keyof Side) => median(sides.map((side) => side[name]));
  return { perSecond: of('perSecond'), cpu: of('cpu'), p99: of('p99') };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.ceil(middle) - 1] ?? Number.NaN) + (sorted[Math.floor(middle)] ?? Number.NaN)) / 2;
}

/** Megabytes (10^6) resident, after a rest. */
export interface Memory {
  readonly afterStart: number;
  readonly oneGrant: number;
  readonly manyGrants: number;
  readonly many: number;
}

export async function memoryAtRest(): Promise<Memory> {
  await using evergrant = await startEvergrant();
  const afterStart = await resident(evergrant);
  await evergrant.addGrants(0, 1);
  const oneGrant = await resident(evergrant);
  await evergrant.addGrants(1, MANY - 1);
  return { afterStart, oneGrant, manyGrants: await resident(evergrant), many: MANY };
}

/** Megabytes after a rest. */
export async function resident({ pid }: Evergrant): Promise<number> {
  await pause(REST_MS);
  return (Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' })) * 1024) / 1e6;
}

/** Milliseconds from start to end of a process; medians. */
export interface ColdStart {
  readonly starts: number;
  readonly token: number;
  readonly emptyNode: number;
  /** Processor time, in milliseconds a start: what other load moves least. */
  readonly tokenCpu: number;
  readonly emptyNodeCpu: number;
}

/** `evergrant token` against a running server, beside Node that does nothing. */
export async function coldStart(): Promise<ColdStart> {
  await using evergrant = await startEvergrant();
  await evergrant.addGrants(0, 1);
  const { origin, key, folder } = evergrant;
  const env = { ...process.env, EVERGRANT_SERVER: origin, EVERGRANT_API_KEY: key };
  const token = [PROGRAM, 'token', 'grant-0'];
  // The first start compiles.
  timed(token, folder, env);
  const tokens: Start[] = [];
  const empties: Start[] = [];
  for (let i = 0; i < STARTS; i++) {
    empties.push(timed(['-e', '0'], folder, env));
    tokens.push(timed(token, folder, env));
  }
  const of = (starts: readonly Start[], name: keyof Start) => median(starts.map((start) => start[name]));
  const mean = (starts: readonly Start[]) => starts.reduce((sum, { cpu }) => sum + cpu, 0) / starts.length;
  return {
    starts: STARTS,
    token: of(tokens, 'took'),
    emptyNode: of(empties, 'took'),
    tokenCpu: mean(tokens),
    emptyNodeCpu: mean(empties),
  };
}

/** Milliseconds. Processor time comes in ticks of ten, so only a mean says something. */
interface Start {
  readonly took: number;
  readonly cpu: number;
}

function timed(words: readonly string[], cwd: string, env: NodeJS.ProcessEnv): Start {
  const startedAt = performance.now();
  const before = childSeconds();
  const { status, stderr } = spawnSync(process.execPath, words, { cwd, env, encoding: 'utf8' });
  if (status !== 0) throw new Error(`node ${words.join(' ')} ended with ${status}: ${stderr}`);
  return { took: performance.now() - startedAt, cpu: (childSeconds() - before) * 1000 };
}

/** User and system time of all children of this process that have ended: fields 16 and 17 of proc(5). */
function childSeconds(): number {
  const fields = statOf(process.pid);
  return (Number(fields[13]) + Number(fields[14])) / 100;
}
