import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { scratch } from '../../test/support/fake-api.ts';
import { EvergrantError } from '../core/errors.ts';
import { type Environment, type Flags, readConfiguration } from './settings.ts';

let folder: ReturnType<typeof scratch>;
beforeEach(() => {
  folder = scratch();
});
afterEach(() => folder[Symbol.dispose]());

/** Writes a file into the scratch folder; private unless told otherwise. */
function file(name: string, text: string, mode = 0o600): string {
  const path = join(folder.path, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

async function complaint(flags: Flags, environment: Environment): Promise<EvergrantError> {
  const error: unknown = await readConfiguration(flags, environment).then(
    () => null,
    (reason: unknown) => reason,
  );
  if (error instanceof EvergrantError) return error;
  throw new Error('it was accepted');
}

const ROOT_KEY = 'a'.repeat(64);

test('a flag beats a variable beats the settings file beats the default', async () => {
  const config = file('evergrant.yaml', 'listen: 127.0.0.1:1003\ndrain: 10s\nlog: error\n');
  const environment = { EVERGRANT_LISTEN: '127.0.0.1:1002', EVERGRANT_DRAIN: '20s' };
  const { settings, sources } = await readConfiguration({ config, listen: '127.0.0.1:1001' }, environment);
  expect(settings).toMatchObject({ listen: { port: 1001 }, drainMs: 20_000, log: 'error', insecureHttp: false });
  expect(sources).toEqual({ listen: '--listen', drainMs: 'EVERGRANT_DRAIN', log: `log in ${config}` });
});

test('JSON is a settings file too', async () => {
  const config = file('evergrant.json', '{"listen": "[::1]:9000", "trusted-proxies": ["10.0.0.1", "10.1.0.0/16"]}');
  const { settings } = await readConfiguration({ config }, {});
  expect(settings.listen).toEqual({ host: '::1', port: 9000 });
  expect(settings.trustedProxies).toEqual(['10.0.0.1/32', '10.1.0.0/16']);
  expect(settings.publicUrl).toBe('http://[::1]:9000');
});

test.each([
  ['listen', '8787'],
  ['listen', '127.0.0.1:99999'],
  ['node-id', 'a b'],
  ['public-url', 'https://user:secret@example.com'],
  ['public-url', 'https://example.com/path'],
  ['public-url', 'ftp://example.com'],
  ['allow-private-upstream', '10.0.0.0/33'],
  ['insecure-http', 'maybe'],
  ['workers', '0'],
  ['workers', '65'],
  ['workers', 'all'],
  ['drain', 'soon'],
  ['log', 'loud'],
])('a wrong %s (%s) is refused by its name, with what was found and what is expected', async (name, value) => {
  const variable = `EVERGRANT_${name.replaceAll('-', '_').toUpperCase()}`;
  const error = await complaint({}, { [variable]: value });
  expect(error.exitCode).toBe(78);
  expect(error.message).toMatch(new RegExp(`^${variable} is ".*"; expected .+\\.$`));
});

test('an unknown variable is refused, with the one that was probably meant', async () => {
  const error = await complaint({}, { EVERGRANT_LISTN: 'x' });
  expect(error.message).toBe('EVERGRANT_LISTN is no setting. Did you mean EVERGRANT_LISTEN?');
});

test('an unknown key of the settings file is refused, with the one that was probably meant', async () => {
  const config = file('evergrant.yaml', 'lisen: 127.0.0.1:1\n');
  expect((await complaint({ config }, {})).message).toContain('Did you mean listen?');
});

test('workers are one unless a number of them is named', async () => {
  const config = file('evergrant.yaml', 'workers: 4\n');
  const workersOf = async (flags: Flags, environment: Environment) =>
    (await readConfiguration(flags, environment)).settings.workers;
  expect(await workersOf({}, {})).toBe(1);
  expect(await workersOf({ config }, {})).toBe(4);
  expect(await workersOf({ config }, { EVERGRANT_WORKERS: '2' })).toBe(2);
});

test('variables that Kubernetes makes for a service called evergrant are no settings', async () => {
  const links = { EVERGRANT_PORT: 'tcp://10.0.0.1:80', EVERGRANT_SERVICE_HOST: '10.0.0.1', EVERGRANT_PORT_80_TCP: 'x' };
  await expect(readConfiguration({}, links)).resolves.toBeDefined();
  expect((await complaint({}, { EVERGRANT_PORT: '8080' })).message).toContain('EVERGRANT_PORT');
});

test('a database URL that is not one of PostgreSQL is refused, without showing the password in it', async () => {
  const error = await complaint({ databaseUrl: 'mysql://me:geheim@db/evergrant' }, {});
  expect(error.exitCode).toBe(78);
  expect(error.message).toContain('a PostgreSQL database');
  expect(error.message).not.toContain('geheim');
  const { settings } = await readConfiguration({ databaseUrl: 'postgres://me:geheim@db/evergrant' }, {});
  expect(settings).toMatchObject({ databaseListenUrl: null, databaseConnections: 10 });
});

describe('a secret', () => {
  test('is read from the file that its variable names', async () => {
    const path = file('root.key', `${ROOT_KEY}\n`);
    expect((await readConfiguration({}, { EVERGRANT_ROOT_KEY_FILE: path })).settings.rootKey).toBe(ROOT_KEY);
  });

  test('is read from the file that the settings file names', async () => {
    const config = file('evergrant.yaml', `root-key-file: ${file('root.key', ROOT_KEY)}\n`);
    expect((await readConfiguration({ config }, {})).settings.rootKey).toBe(ROOT_KEY);
  });

  test('in a file that others may read is refused', async () => {
    const path = file('root.key', ROOT_KEY, 0o644);
    const error = await complaint({}, { EVERGRANT_ROOT_KEY_FILE: path });
    expect(error.message).toContain('others than its owner may read');
    expect(error.details.remedy).toContain('chmod 600');
  });

  test('that is wrong is not shown', async () => {
    const error = await complaint({}, { EVERGRANT_ADMIN_KEY: 'too-short' });
    expect(error.message).toBe(
      'EVERGRANT_ADMIN_KEY is set to something else; expected at least 32 characters without spaces.',
    );
  });

  test('in the settings file itself is refused and not shown', async () => {
    const config = file('evergrant.yaml', `root-key: ${ROOT_KEY}\n`);
    const error = await complaint({ config }, {});
    expect(error.details.remedy).toContain('root-key-file');
    expect(error.message).not.toContain(ROOT_KEY);
  });

  test('given twice, plainly and as a file, is refused', async () => {
    const both = { EVERGRANT_ROOT_KEY: ROOT_KEY, EVERGRANT_ROOT_KEY_FILE: file('root.key', ROOT_KEY) };
    expect((await complaint({}, both)).message).toContain('Both');
  });
});

describe('listening beyond loopback', () => {
  test('is refused while the public URL is http', async () => {
    expect((await complaint({ listen: '0.0.0.0:8787' }, {})).message).toContain('clear text');
    expect((await complaint({ listen: '0.0.0.0:1', publicUrl: 'http://a.example' }, {})).exitCode).toBe(78);
  });

  test('is possible with an https public URL, or when insecure http is allowed', async () => {
    const { settings } = await readConfiguration({ listen: '0.0.0.0:1', publicUrl: 'https://a.example/' }, {});
    expect(settings.publicUrl).toBe('https://a.example');
    await expect(readConfiguration({ listen: '0.0.0.0:1', insecureHttp: true }, {})).resolves.toBeDefined();
  });
});
