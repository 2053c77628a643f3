/** `evergrant emulate` as a script meets it: one line when ready, exit codes, and a file for the keeper. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, test } from 'vitest';

const MAIN = join(import.meta.dirname, '../../src/cli/main.ts');

let folder: string;
const running: ChildProcess[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'evergrant-test-'));
});

afterEach(async () => {
  for (const child of running.splice(0)) child.kill('SIGKILL');
  await rm(folder, { recursive: true });
});

function run(...words: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, [MAIN, 'emulate', ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
  running.push(child);
  return child;
}

interface Ready {
  readonly base_url: string;
  readonly provider_file: string;
  readonly control_url: string;
  readonly control_key: string;
}

async function start(...words: readonly string[]): Promise<{ child: ChildProcess; ready: Ready }> {
  const child = run('exact-online', '--json', '--provider-folder', folder, ...words);
  if (!child.stdout) throw new Error('no stdout');
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  return { child, ready: JSON.parse(line) as Ready };
}

async function end(child: ChildProcess): Promise<{ code: number | null; said: string }> {
  let said = '';
  child.stderr?.on('data', (part: Buffer) => {
    said += part.toString();
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, said };
}

test('with --json it prints one line when ready, writes the provider file, and ends with 0 on SIGTERM', async () => {
  const { child, ready } = await start('--speed', '60', '--seed', 'a');
  expect(Object.keys(ready)).toEqual([
    'base_url',
    'provider_file',
    'client_id',
    'client_secret',
    'redirect_uris',
    'user',
    'control_url',
    'control_key',
  ]);
  const file = JSON.parse(await readFile(ready.provider_file, 'utf8')) as Record<string, unknown>;
  expect(file).toMatchObject({ id: 'exact-online-emulated', policy: { pacing: { min_spacing: 9 } } });
  const headers = { authorization: `Bearer ${ready.control_key}` };
  expect((await fetch(`${ready.control_url}/state`, { headers })).status).toBe(200);
  child.kill('SIGTERM');
  expect((await end(child)).code).toBe(0);
});

test('a port in use ends with 78 and names the remedy', async () => {
  const { ready } = await start();
  const { code, said } = await end(run('exact-online', '--port', new URL(ready.base_url).port));
  expect(code).toBe(78);
  expect(said).toContain('Take another --port');
});

test('an unknown provider ends with 2 and the list of known ones', async () => {
  const { code, said } = await end(run('made-up'));
  expect(code).toBe(2);
  expect(said).toContain('exact-online');
});

test('any provider is emulated by its name or by the path of its file, with rules that are set', async () => {
  for (const provider of ['xero', join(import.meta.dirname, '../../providers/xero.json')]) {
    const child = run(provider, '--json', '--provider-folder', folder, '--set', 'leeway=5', '--set', 'idle=none');
    if (!child.stdout) throw new Error('no stdout');
    const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
    const file = JSON.parse(await readFile((JSON.parse(line) as Ready).provider_file, 'utf8')) as unknown;
    expect(file).toMatchObject({ id: 'xero-emulated', policy: { overlap: { window: 5 }, life: { idle: null } } });
  }
});

test('a rule that the provider does not have ends with 2 and names those that it has', async () => {
  const { code, said } = await end(run('auth0', '--set', 'country=be'));
  expect([code, said]).toEqual([2, expect.stringContaining('auth0 has no switch country')]);
  expect(said).toContain('log_retention');
});

test('an unknown fault or a rate above one ends with 2', async () => {
  for (const fault of ['made-up=0.1', 'drop-after-commit=2', 'drop-after-commit']) {
    expect((await end(run('exact-online', '--fault', fault))).code).toBe(2);
  }
});
