/** The real program, started wrongly in every usual way: it says what is wrong and what to do, and nothing is lost. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../support/servers.ts';

const BIN = fileURLToPath(new URL('../../bin/evergrant.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'evergrant-test-'));
const providers = join(folder, 'providers');

/** A provider file that is right, but for what a test changes. */
const provider = (change: Record<string, unknown> = {}) => ({
  id: 'mine',
  name: 'Mine',
  issuer: null,
  authorization_endpoint: 'http://127.0.0.1:9/authorize',
  token_endpoint: 'http://127.0.0.1:9/token',
  ...change,
});

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(words: readonly string[], env: Record<string, string> = {}) {
  const clean = Object.entries(process.env).filter(([name]) => !name.startsWith('EVERGRANT_'));
  const child = spawn(process.execPath, [BIN, ...words], {
    cwd: folder,
    env: { ...Object.fromEntries(clean), ...env },
  });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) child[name].on('data', (chunk) => (output[name] += String(chunk)));
  const ended: Promise<Ended> = once(child, 'exit').then(([code]) => ({ code: code as number | null, ...output }));
  return { child, output, ended };
}

const run = (words: readonly string[], env?: Record<string, string>): Promise<Ended> => start(words, env).ended;
const serve = (data: string, ...words: string[]) => ['serve', '--data', data, '--listen', '127.0.0.1:0', ...words];

beforeAll(() => mkdirSync(providers));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('a start is refused with 78, the thing and a remedy', () => {
  test.each([
    ['is no JSON', '{ "id": ', ['wrong.json', 'JSON']],
    [
      'has a member that is not known',
      JSON.stringify(provider({ tokn_endpoint: 'x' })),
      ['wrong.json', 'tokn_endpoint'],
    ],
    [
      'has an address that is none',
      JSON.stringify(provider({ token_endpoint: 'not an address' })),
      ['/token_endpoint'],
    ],
    [
      'has a time of the wrong type',
      JSON.stringify(provider({ policy: { pacing: { min_spacing: 'soon' } } })),
      ['/policy/pacing/min_spacing'],
    ],
  ])('when a provider file %s', async (_name, text, named) => {
    writeFileSync(join(providers, 'wrong.json'), text);
    const { code, stderr } = await run(serve(join(folder, 'd1'), '--providers', providers));
    rmSync(join(providers, 'wrong.json'));
    expect([code, stderr]).toEqual([78, expect.stringContaining('Remedy: ')]);
    for (const part of named) expect(stderr).toContain(part);
  });

  test('when the folder of providers is not there', async () => {
    const { code, stderr } = await run(serve(join(folder, 'd1'), '--providers', join(folder, 'nowhere')));
    expect([code, stderr]).toEqual([78, expect.stringContaining('nowhere')]);
  });

  test('when a setting is not known', async () => {
    const { code, stderr } = await run(serve(join(folder, 'd1')), { EVERGRANT_LISTN: '127.0.0.1:1' });
    expect([code, stderr]).toEqual([78, expect.stringContaining('EVERGRANT_LISTEN')]);
  });

  test('when the port is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const address = other.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const { code, stderr } = await run(['serve', '--data', join(folder, 'd2'), '--listen', `127.0.0.1:${port}`]);
    other.close();
    expect([code, stderr]).toEqual([78, expect.stringContaining(`127.0.0.1:${port}`)]);
  });

  test('when the data folder cannot be one', async () => {
    writeFileSync(join(folder, 'a-file'), '');
    const { code, stderr } = await run(serve(join(folder, 'a-file', 'data')));
    expect([code, stderr]).toEqual([78, expect.stringContaining('a-file')]);
  });

  test('when another process has the data folder, which goes on undisturbed', async () => {
    const data = join(folder, 'd3');
    const first = start(serve(data));
    await eventually(
      async () => first.output.stderr,
      (text) => text.includes('is ready'),
    );
    const { code, stderr } = await run(serve(data));
    expect([code, stderr]).toEqual([78, expect.stringContaining(`process ${first.child.pid}`)]);
    first.child.kill('SIGTERM');
    expect((await first.ended).code).toBe(0);
  });

  test.each([
    ['another one', (key: string) => writeFileSync(key, `${Buffer.alloc(32, 9).toString('base64')}\n`)],
    ['missing', (key: string) => rmSync(key)],
    ['no key', (key: string) => writeFileSync(key, 'nonsense')],
    ['readable by others', (key: string) => chmodSync(key, 0o644)],
  ])('when the root key is %s, and the database is as it was', async (name, spoil) => {
    const data = join(folder, `key-${name.replaceAll(' ', '-')}`);
    const first = start(serve(data));
    await eventually(
      async () => first.output.stderr,
      (text) => text.includes('is ready'),
    );
    first.child.kill('SIGTERM');
    await first.ended;
    const before = readFileSync(join(data, 'evergrant.db'));
    spoil(join(data, 'root.key'));
    const { code, stderr } = await run(serve(data));
    expect([code, stderr]).toEqual([78, expect.stringContaining('Remedy: ')]);
    expect(readFileSync(join(data, 'evergrant.db')).equals(before)).toBe(true);
  });
});

describe('a command that is used wrongly', () => {
  let free = 0;
  const data = () => ['--data', join(folder, 'commands'), '--listen', `127.0.0.1:${free}`];

  beforeAll(async () => {
    const probe = createServer().listen(0, '127.0.0.1');
    await once(probe, 'listening');
    const address = probe.address();
    free = typeof address === 'object' ? (address?.port ?? 0) : 0;
    probe.close();
  });

  test('with an unknown provider says which there are', async () => {
    const { code, stdout, stderr } = await run(['apps', 'add', 'exact-onlin', '--client-id', 'c', ...data()], {
      EVERGRANT_CLIENT_SECRET: 's',
    });
    expect([code, stdout]).toEqual([expect.any(Number), '']);
    expect(code).not.toBe(0);
    expect(stderr).toContain('exact-online');
  });

  test.each([
    ['of an unknown grant', ['token', 'nobody'], 1],
    ['with an alias full of tricks', ['token', '../../etc/passwd'], 1],
    ['without its argument', ['token'], 2],
    ['that does not exist', ['tokn', 'eol'], 2],
  ])('%s ends with its own code and prints nothing on stdout', async (_name, words, expected) => {
    const { code, stdout, stderr } = await run([...words, ...(words[0] === 'tokn' ? [] : data())]);
    expect([code, stdout, stderr === '']).toEqual([expected, '', false]);
  });

  test('against a server that is not there ends with 75', async () => {
    const { code, stderr } = await run(['token', 'eol', '--server', `http://127.0.0.1:${free}`], {
      EVERGRANT_API_KEY: 'x'.repeat(32),
    });
    expect([code, stderr]).toEqual([75, expect.stringContaining('Remedy: ')]);
  });
});
