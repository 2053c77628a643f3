/** A journal in a folder of its own, for tests: opened again and again, by a clock that the test sets. */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import type { Instant, Moment } from '../core/instant.ts';
import type { Fingerprint, Sealed } from '../core/secret.ts';
import type { Clock } from '../ports/clock.ts';
import type { AnswerRecord, BegunRecord, IntentRecord, Journal, NumberedRecord } from '../ports/journal.ts';
import type { Log } from '../ports/log.ts';
import { type FileJournalOptions, openFileJournal } from './file-journal.ts';

export const DAY_MS = 24 * 60 * 60 * 1000;

/** What every test has of its own. */
export const world = { dataFolder: '', nowMs: 0, reports: [] as string[], open: [] as Journal[] };

export function eachWithOwnFolder(): void {
  beforeEach(() => {
    world.dataFolder = mkdtempSync(join(tmpdir(), 'evergrant-journal-'));
    world.nowMs = 1_800_000_000_000;
    world.reports = [];
    world.open = [];
  });
  afterEach(async () => {
    for (const journal of world.open) await journal.close();
    rmSync(world.dataFolder, { recursive: true });
  });
}

export function moment(): Moment {
  return { at: world.nowMs as Instant, boot: 'boot', uptimeMs: 1 };
}

const clock: Clock = { now: () => world.nowMs as Instant, moment, sleep: async () => undefined };

const log: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: (message) => void world.reports.push(message),
  error: (message) => void world.reports.push(message),
};

export async function openJournal(options: Partial<FileJournalOptions> = {}): Promise<Journal> {
  const journal = await openFileJournal({ dataFolder: world.dataFolder, clock, log, ...options });
  world.open.push(journal);
  return journal;
}

export function record(name: string, answer = `sealed ${name}`): AnswerRecord {
  return {
    grant: 'grt_1',
    generation: 1,
    link: `lnk_${name}`,
    purpose: 'exchange',
    presented: 'lnk_0',
    sequence: 7,
    node: 'node-1',
    requestedAt: moment(),
    receivedAt: moment(),
    answer: answer as Sealed,
  };
}

/** Whatever goes on in the background is over. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 30; i++) await new Promise((done) => setImmediate(done));
}

export function ids(name: string) {
  return { grant: 'grt_1', link: `lnk_${name}`, generation: 1, node: 'node-1' } as const;
}

export function beginning(name: string): BegunRecord {
  const { requestedAt, receivedAt } = record(name);
  const link = `lnk_${name}` as const;
  const received = { id: link, fingerprint: 'fingerprint' as Fingerprint, node: 'node-1', requestedAt, receivedAt };
  return {
    ...ids(name),
    purpose: 'begun',
    at: moment(),
    by: 'code',
    received: { ...received, accessTokenLifeMs: 600_000, scope: null },
    answer: `sealed ${name}` as Sealed,
    app: 'app_1',
    grantBody: '{}',
    appBody: '{}',
  };
}

/** A note that this is about to be sent. */
export function intent(name: string): IntentRecord {
  const attempt = `lnk_attempt-${name}` as const;
  return { ...ids(name), purpose: 'intent', at: moment(), attempt, presented: 'lnk_0', sequence: 7, run: 'run-1' };
}

export function numbersOf(records: readonly NumberedRecord[]): number[] {
  return records.map((one) => one.number);
}

export function segments(): string[] {
  const folder = join(world.dataFolder, 'journal');
  return readdirSync(folder)
    .filter((name) => name.endsWith('.journal'))
    .toSorted()
    .map((name) => join(folder, name));
}

/** The segment that holds something, when there is one such. */
export function writtenSegment(): string {
  return segments().find((path) => statSync(path).size > 0) ?? 'no segment was written';
}

export async function unsettledAfterReopening(): Promise<string[]> {
  return (await openJournal()).unsettled().map((one) => one.link);
}

export async function linksSince(journal: Journal, number: number): Promise<string[]> {
  return (await Array.fromAsync(journal.since(number))).map((one) => one.record.link);
}
