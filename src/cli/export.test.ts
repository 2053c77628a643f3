/** Leaving and arriving: the real commands on data folders of their own, with no server. */
import { spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { evergrant, scratch, serving } from '../../test/support/fake-api.ts';
import { openText } from './sealed-file.ts';

vi.setConfig({ testTimeout: 120_000 });

const PROVIDER = {
  id: 'mine',
  name: 'Mine',
  authorization_endpoint: 'http://127.0.0.1:9/a',
  token_endpoint: 'http://127.0.0.1:9/t',
  token_endpoint_auth_methods: ['client_secret_post', 'private_key_jwt'],
  policy: { rotate: { mode: 'always' }, life: { access_token: 3600 } },
};
const LINE = {
  alias: 'eol',
  provider: 'mine',
  client_id: 'c',
  client_secret: 'secret-of-the-app',
  refresh_token: 'refresh-token-1',
  access_token: 'access-token-1',
  expires_in: 3600,
  owner: 'customer 7',
  labels: { tier: 'gold' },
};
const PASSPHRASE = { EVERGRANT_EXPORT_PASSPHRASE: 'a long passphrase' };

let folder: ReturnType<typeof scratch>;
beforeEach(() => {
  folder = scratch();
  mkdirSync(join(folder.path, 'providers'));
  writeFileSync(join(folder.path, 'providers', 'mine.json'), JSON.stringify(PROVIDER));
  return () => folder[Symbol.dispose]();
});

const run = (words: readonly string[], env: Record<string, string> = PASSPHRASE) =>
  evergrant([...words, '--providers', 'providers', '--listen', '127.0.0.1:0'], { cwd: folder.path, env });

async function arrive(data: string, ...lines: object[]) {
  writeFileSync(join(folder.path, 'in.jsonl'), lines.map((line) => JSON.stringify(line)).join('\n'), { mode: 0o600 });
  return run(['import', 'in.jsonl', '--no-takeover', '--data', data]);
}

describe('evergrant export', () => {
  test('hands grants over whole: they end here, and live on where the file is imported', async () => {
    expect((await arrive('a', LINE)).exit).toBe(0);
    expect(await run(['export', 'out', '--i-understand', '--data', 'a'])).toMatchObject({
      exit: 0,
      out: 'eol  exported, and ended here\n',
    });
    const file = readFileSync(join(folder.path, 'out'), 'utf8');
    for (const secret of ['refresh-token-1', 'access-token-1', 'secret-of-the-app', 'eol'])
      expect(file).not.toContain(secret);
    expect(statSync(join(folder.path, 'out')).mode & 0o777).toBe(0o600);
    expect((await run(['token', 'eol', '--data', 'a'])).exit).toBe(1);

    expect((await run(['import', 'out', '--no-takeover', '--data', 'b'])).out).toContain('imported');
    expect((await run(['token', 'eol', '--data', 'b'])).out).toBe('access-token-1\n');
    const grant: unknown = JSON.parse((await run(['grants', 'show', 'eol', '--json', '--data', 'b'])).out);
    expect(grant).toMatchObject({ owner: 'customer 7', labels: { tier: 'gold' }, state: 'active' });
  });

  test('writes only the grants that are named', async () => {
    await arrive('a', LINE, { ...LINE, alias: 'other', refresh_token: 'refresh-token-2' });
    const ran = await run(['export', 'out', '--i-understand', '--grant', 'other', '--data', 'a', '--json']);
    expect(JSON.parse(ran.out)).toEqual({ alias: 'other', outcome: 'exported' });
    expect((await run(['token', 'eol', '--data', 'a'])).exit).toBe(0);
  });

  test.each([
    ['without --i-understand', ['export', 'out', '--data', 'a'], 2],
    ['over a network', ['export', 'out', '--i-understand', '--data', 'a', '--server', 'http://127.0.0.1:1'], 2],
    ['into a file that is there', ['export', 'in.jsonl', '--i-understand', '--data', 'a'], 2],
  ])('%s ends nothing', async (_name, words, exit) => {
    await arrive('a', LINE);
    expect((await run(words)).exit).toBe(exit);
    expect((await run(['token', 'eol', '--data', 'a'])).exit).toBe(0);
  });

  test('with a short passphrase ends nothing', async () => {
    await arrive('a', LINE);
    const ran = await run(['export', 'out', '--i-understand', '--data', 'a'], { EVERGRANT_EXPORT_PASSPHRASE: 'short' });
    expect([ran.exit, existsSync(join(folder.path, 'out'))]).toEqual([2, false]);
  });

  test.skipIf(process.platform === 'win32')('onto a disk that is full leaves no file that holds a part', () => {
    const sealing =
      "import { writeSealed } from './src/cli/sealed-file.ts'; writeSealed(process.argv[1], 'x'.repeat(100_000));";
    const path = join(folder.path, 'out');
    // A limit on the size of files ends a write in its middle, as a full disk does.
    const command = 'trap "" XFSZ; ulimit -f 64; exec "$0" --input-type=module -e "$1" "$2"';
    const ran = spawnSync('bash', ['-c', command, process.execPath, sealing, path], { encoding: 'utf8' });
    expect([ran.status, ran.stderr]).toEqual([1, expect.stringMatching(/EFBIG|ENOSPC/)]);
    expect(readdirSync(folder.path).filter((name) => name.startsWith('out'))).toEqual([]);
  });

  test('while a server runs on the folder is refused, with what to do about it', async () => {
    const server = await serving(folder.path);
    const ran = await run(['export', 'out', '--i-understand', '--data', 'data']);
    await server.stop('SIGTERM');
    expect([ran.exit, existsSync(join(folder.path, 'out'))]).toEqual([78, false]);
    expect(ran.err).toMatch(/in use by process \d+[\s\S]*Stop the server, export, and start it again/);
  });

  test('hands over the private key of an app that has no secret, so that its grants go on', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const key = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    const { client_secret: _, ...line } = LINE;
    expect(await arrive('a', { ...line, private_key: key })).toMatchObject({ exit: 0 });
    expect((await run(['export', 'out', '--i-understand', '--data', 'a'])).exit).toBe(0);
    const sealed = readFileSync(join(folder.path, 'out'), 'utf8');
    expect(sealed).not.toContain('PRIVATE KEY');
    const handed: unknown = JSON.parse(openText(sealed, PASSPHRASE.EVERGRANT_EXPORT_PASSPHRASE));
    expect(handed).toMatchObject({ refresh_token: 'refresh-token-1', private_key: key });
    expect((await run(['import', 'out', '--no-takeover', '--data', 'b'])).out).toContain('imported');
    const [app] = (await run(['apps', 'list', '--json', '--data', 'b'])).out.trim().split('\n');
    expect(JSON.parse(app ?? '')).toMatchObject({ client_id: 'c', has_secret: true });
  });

  test('that was altered, or another passphrase, opens nothing', async () => {
    await arrive('a', LINE);
    await run(['export', 'out', '--i-understand', '--data', 'a']);
    const wrong = await run(['import', 'out', '--data', 'b'], { EVERGRANT_EXPORT_PASSPHRASE: 'another passphrase' });
    expect([wrong.exit, wrong.err]).toEqual([2, expect.stringContaining('does not open')]);
  });
});

describe('evergrant import --from nango', () => {
  const connection = (change: object = {}) => ({
    connection_id: 'Customer 7/EU',
    provider_config_key: 'accounting-eu',
    provider: 'mine',
    credentials: {
      type: 'OAUTH2',
      access_token: 'access-token-1',
      refresh_token: 'refresh-token-1',
      expires_at: new Date(Date.now() + 3_000_000).toISOString(),
      raw: {},
    },
    connection_config: { oauth_client_id_override: 'c', oauth_client_secret_override: 's' },
    end_user: { id: 'customer 7' },
    ...change,
  });

  test('takes a list of connections, with their owners', async () => {
    writeFileSync(join(folder.path, 'n.json'), JSON.stringify({ connections: [connection()] }), { mode: 0o600 });
    const ran = await run(['import', 'n.json', '--from', 'nango', '--no-takeover', '--data', 'a']);
    expect([ran.exit, ran.out]).toEqual([0, 'line 1  customer-7-eu  imported\n']);
    expect((await run(['token', 'customer-7-eu', '--data', 'a'])).out).toBe('access-token-1\n');
    const grant: unknown = JSON.parse((await run(['grants', 'show', 'customer-7-eu', '--json', '--data', 'a'])).out);
    expect(grant).toMatchObject({ owner: 'customer 7', labels: { 'nango/connection': 'Customer 7/EU' } });
  });

  test('names the provider here for an integration there, and says what is no grant', async () => {
    const other = { connection_config: {}, provider: 'elsewhere' };
    const key = connection({ connection_id: 'key-only', credentials: { type: 'API_KEY', apiKey: 'k' } });
    writeFileSync(join(folder.path, 'n.json'), JSON.stringify([connection(), connection(other), key]), { mode: 0o600 });
    const words = [
      'import',
      'n.json',
      '--from',
      'nango',
      '--app',
      'accounting-eu=mine',
      '--no-takeover',
      '--data',
      'a',
    ];
    const ran = await run([...words, '--json']);
    const outcomes = ran.out
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { outcome: string }).outcome);
    expect([ran.exit, outcomes]).toEqual([1, ['imported', 'already_held', 'failed']]);
  });

  test('refuses what is something else', async () => {
    writeFileSync(join(folder.path, 'n.json'), '{"a":1}', { mode: 0o600 });
    expect((await run(['import', 'n.json', '--from', 'nango', '--data', 'a'])).exit).toBe(2);
  });
});
