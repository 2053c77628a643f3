/** `evergrant demo` as a script reads it: every fault strikes, and no chain breaks. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { KINDS } from '../../src/cli/demo/script.ts';

const MAIN = join(import.meta.dirname, '../../src/cli/main.ts');

type Json = Readonly<Record<string, unknown>>;

interface Result extends Json {
  readonly chains: readonly { faults: number; recovered: number; broken: boolean }[];
  readonly ledger: {
    readonly faults: Readonly<Record<string, number>>;
    readonly calls_refused: Json;
    readonly authorizations: number;
  };
}

/** Runs in a temporary folder of its own, to see what is left of it. */
async function demo(folder: string, after?: (line: Json, stop: () => void) => void) {
  const env = { ...process.env, TMPDIR: folder };
  const child = spawn(process.execPath, [MAIN, 'demo', '--json'], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  const lines: Json[] = [];
  for await (const text of createInterface(child.stdout)) {
    const line = JSON.parse(text) as Json;
    lines.push(line);
    after?.(line, () => child.kill('SIGINT'));
  }
  const [code] = (await ended) as [number | null];
  return { code, lines };
}

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'evergrant-test-'));
  try {
    await work(folder);
    expect(await readdir(folder)).toEqual([]);
  } finally {
    await rm(folder, { recursive: true });
  }
}

test('in the demo every kind of fault strikes, the server is killed, and no chain breaks', () =>
  inFolder(async (folder) => {
    const { code, lines } = await demo(folder);
    const result = lines.at(-1) as Result;
    expect(result).toMatchObject({ event: 'result', broken: 0, ok: true });
    expect(code).toBe(0);
    expect(result.chains).toHaveLength(3);
    for (const chain of result.chains) {
      expect(chain.faults).toBeGreaterThan(0);
      expect(chain).toMatchObject({ recovered: chain.faults, broken: false });
    }
    expect(Object.keys(result.ledger.faults).toSorted()).toEqual(KINDS.toSorted());
    expect(result.ledger.authorizations).toBe(3);
    // On a machine that stalls, a token may end on its way to the API.
    expect(Object.keys(result.ledger.calls_refused).filter((reason) => reason !== 'expired')).toEqual([]);
    const events = new Set(lines.map(({ event }) => event));
    expect([...events]).toEqual(expect.arrayContaining(['kill', 'restart', 'away', 'back', 'recovered']));
  }));

test('Ctrl-C ends the demo with 130 and leaves nothing behind', () =>
  inFolder(async (folder) => {
    const { code } = await demo(folder, (line, stop) => {
      if (line.event === 'exchange' || line.event === 'fault') stop();
    });
    expect(code).toBe(130);
  }));
