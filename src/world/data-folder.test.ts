import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadNodeId, openDataFolder } from './data-folder.ts';
import { systemRandom } from './system-random.ts';

let parent: string;
let path: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'evergrant-folder-'));
  path = join(parent, 'deep', 'data');
});
afterEach(() => rmSync(parent, { recursive: true }));

const HOLDER = `
  import { openDataFolder } from ${JSON.stringify(new URL('./data-folder.ts', import.meta.url).href)};
  openDataFolder(process.argv[1]);
  process.stdout.write('held\\n');
  process.stdin.on('data', () => process.exit(0)).resume();`;

async function holdElsewhere(): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', HOLDER, path], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  if (!child.stdout) throw new Error('The holder has no output');
  await once(child.stdout, 'data');
  return child;
}

test('the folder is made for its owner alone, and its lock names the process', () => {
  const folder = openDataFolder(path);
  expect(statSync(path).mode & 0o777).toBe(0o700);
  expect(readFileSync(join(path, 'evergrant.lock'), 'utf8')).toBe(`${process.pid}\n`);
  folder.close();
  folder.close();
  expect(existsSync(join(path, 'evergrant.lock'))).toBe(false);
});

test('[S91] a second server is refused and told which process holds the folder', async () => {
  const child = await holdElsewhere();
  expect(() => openDataFolder(path)).toThrow(expect.objectContaining({ code: 'setting', exitCode: 78 }));
  expect(() => openDataFolder(path)).toThrow(`in use by process ${child.pid}`);
  child.stdin?.write('exit');
  await once(child, 'exit');
  expect(existsSync(join(path, 'evergrant.lock'))).toBe(false);
  openDataFolder(path).close();
});

test('a second server in the same process is refused too, and does not end the lock of the first', async () => {
  const folder = openDataFolder(path);
  expect(() => openDataFolder(path)).toThrow(`in use by process ${process.pid}`);
  const argv = ['--input-type=module', '-e', HOLDER, path];
  const child = spawn(process.execPath, argv, { stdio: ['pipe', 'pipe', 'ignore'] });
  expect(await once(child, 'exit')).toEqual([1, null]);
  folder.close();
});

test('a server that was killed does not keep the folder', async () => {
  const child = await holdElsewhere();
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(existsSync(join(path, 'evergrant.lock'))).toBe(true);
  openDataFolder(path).close();
});

test('a lock left by a process whose number another process has now does not keep the folder', () => {
  openDataFolder(path).close();
  writeFileSync(join(path, 'evergrant.lock'), `${process.ppid}\n`);
  const folder = openDataFolder(path);
  expect(readFileSync(join(path, 'evergrant.lock'), 'utf8')).toBe(`${process.pid}\n`);
  folder.close();
});

test('a place that cannot be a folder is refused', () => {
  writeFileSync(join(parent, 'file'), '');
  for (const place of [join(parent, 'file'), join(parent, 'file', 'data'), '/proc/evergrant']) {
    expect(() => openDataFolder(place)).toThrow(expect.objectContaining({ code: 'setting', exitCode: 78 }));
  }
});

test('a node keeps its name, and a file that holds none is refused and left alone', () => {
  const folder = openDataFolder(path);
  const name = loadNodeId(path, systemRandom);
  expect(name).toMatch(/^node-[0-9a-f]{16}$/);
  expect(loadNodeId(path, systemRandom)).toBe(name);
  writeFileSync(join(path, 'node.id'), '\n');
  expect(() => loadNodeId(path, systemRandom)).toThrow(expect.objectContaining({ code: 'setting' }));
  expect(readFileSync(join(path, 'node.id'), 'utf8')).toBe('\n');
  folder.close();
});
