import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadRootKey } from './root-key.ts';
import { systemRandom } from './system-random.ts';

let dataFolder: string;
let file: string;
beforeEach(() => {
  dataFolder = mkdtempSync(join(tmpdir(), 'evergrant-key-'));
  file = join(dataFolder, 'root.key');
});
afterEach(() => rmSync(dataFolder, { recursive: true }));

const load = (text: string | null = null, mayMake = true) =>
  loadRootKey({ text, dataFolder, mayMake, random: systemRandom });
const bytesOf = (loaded: ReturnType<typeof load>) => Buffer.from(loaded.key.reveal()).toString('hex');
const refusal = (message: RegExp) =>
  expect.objectContaining({ code: 'setting', exitCode: 78, message: expect.stringMatching(message) });

test('the first start makes a key that only its owner may read, and later starts find the same', () => {
  const first = load();
  expect(first.isNew).toBe(true);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(readdirSync(dataFolder)).toEqual(['root.key']);
  const second = load(null, false);
  expect(second.isNew).toBe(false);
  expect(bytesOf(second)).toBe(bytesOf(first));
});

test('a key from the settings may be base64, base64url or hex, and no file is made', () => {
  const hex = `${'0123456789abcdef'.repeat(3)}fedcba98fbffbeef`;
  const bytes = Buffer.from(hex, 'hex');
  for (const text of [hex, hex.toUpperCase(), bytes.toString('base64'), bytes.toString('base64url'), `  ${hex}\n`]) {
    expect(bytesOf(load(text)), text).toBe(hex);
  }
  expect(readdirSync(dataFolder)).toEqual([]);
});

describe('[S33] nothing is written, and the start is refused,', () => {
  test('when the key of an existing database is missing', () => {
    expect(() => load(null, false)).toThrow(refusal(/missing/));
    expect(readdirSync(dataFolder)).toEqual([]);
  });

  test.each([0o640, 0o604, 0o644, 0o620])('when the file has mode %o', (mode) => {
    load();
    chmodSync(file, mode);
    expect(() => load()).toThrow(refusal(/read by others/));
  });

  test.each(['', 'short', 'x'.repeat(64), 'ab'.repeat(31), 'ab'.repeat(33)])('when the file holds "%s"', (text) => {
    writeFileSync(file, text, { mode: 0o600 });
    expect(() => load()).toThrow(refusal(/not 32 bytes/));
    expect(readFileSync(file, 'utf8')).toBe(text);
  });

  test('when the text in the settings is no key, even though a file is there', () => {
    load();
    expect(() => load('not a key')).toThrow(refusal(/EVERGRANT_ROOT_KEY/));
  });

  test('when the folder is not there', () => {
    const source = { text: null, dataFolder: join(dataFolder, 'gone'), mayMake: true, random: systemRandom };
    expect(() => loadRootKey(source)).toThrow(refusal(/cannot be made/));
  });
});

test('no message of a refusal shows the key', () => {
  const key = 'k3y'.repeat(20);
  expect(() => load(key)).toThrow(expect.not.objectContaining({ message: expect.stringContaining('k3y') }));
});
