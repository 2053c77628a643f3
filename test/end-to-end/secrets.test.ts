/** Planted secrets go through a real server in every way there is, and are then looked for everywhere but where they belong. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, eventually, World } from '../support/servers.ts';

/** Every token and code of the emulated Exact Online begins like this. */
const TOKEN_START = 'stampNL001.';
const PLANTED = {
  refreshToken: 'PLANTED-refresh-token-5d1b0c',
  accessToken: 'PLANTED-access-token-77ac31',
  clientSecret: 'PLANTED-client-secret-e09f2a',
  inUnknownField: 'PLANTED-in-an-unknown-field-41',
  inBrokenJson: 'PLANTED-in-broken-json-4410',
  inPath: 'PLANTED-in-a-path-90aa',
};

let world: World;
/** Bodies and headers of every answer that is not the one a token was asked for. */
const answers: string[] = [];
const secrets: string[] = [];

async function seen(asked: Promise<Answer>): Promise<Answer> {
  const answer = await asked;
  answers.push(JSON.stringify([...answer.headers]), JSON.stringify(answer.body));
  return answer;
}

beforeAll(async () => {
  world = await World.create(77);
  await world.start();
  secrets.push(TOKEN_START, ...Object.values(PLANTED), world.provider.clientSecret, world.adminKey);
  await world.connect('eol');
  await exchangesAndFaults();
  await importsAndErrors();
  await crash();
});

afterAll(() => world?.close());

async function exchangesAndFaults(): Promise<void> {
  const faults = [[], [{ fault: 'bad-json' }], [{ fault: 'drop-after-commit' }], [{ fault: 'http-502' }]] as const;
  for (const fault of faults) {
    world.provider.control.addFaults(fault);
    await world.advance(1_300);
    await world.api('POST', '/v1/grants/eol/token', { wait: 1 });
    await world.advance(573);
    await eventually(
      () => world.api('POST', '/v1/grants/eol/token', { wait: 5 }),
      ({ status }) => status === 200,
    );
  }
}

async function importsAndErrors(): Promise<void> {
  const { providerFile } = world.provider;
  const app = await seen(
    world.api('POST', '/v1/apps', { provider: providerFile.id, client_id: 'c', client_secret: PLANTED.clientSecret }),
  );
  const imported = {
    app: app.body.id,
    alias: 'old',
    refresh_token: PLANTED.refreshToken,
    access_token: PLANTED.accessToken,
  };
  await seen(world.api('POST', '/v1/grants', { ...imported, expires_in: 600 }));
  await seen(world.api('POST', '/v1/grants', { ...imported, alias: 'again' }));
  await seen(world.api('POST', '/v1/grants', { ...imported, alias: 'NOT AN ALIAS' }));
  await seen(world.api('POST', '/v1/grants', { ...imported, refresh_tokn: PLANTED.inUnknownField }));
  await seen(
    world.api('POST', '/v1/apps', { provider: 'nowhere', client_id: 'c', client_secret: PLANTED.clientSecret }),
  );
  await seen(world.api('GET', `/v1/grants/${PLANTED.inPath}`));
  await seen(world.raw('POST', '/v1/grants', `{"refresh_token": "${PLANTED.inBrokenJson}" oops`));
  const key = await world.api('POST', '/v1/api-keys', { name: 'reader', scopes: ['token'] });
  secrets.push(key.body.key);
  for (const path of [
    '/v1/apps',
    '/v1/grants',
    '/v1/grants/eol',
    '/v1/grants/old',
    '/v1/api-keys',
    '/metrics',
    '/openapi.json',
  ]) {
    await seen(world.api('GET', path));
  }
  for (const alias of ['eol', 'old']) await seen(world.api('GET', `/v1/grants/${alias}/history?limit=100`));
}

/** A process that dies in the middle leaves what it was doing on disk. */
async function crash(): Promise<void> {
  await world.advance(1_300);
  await world.crashAt('journaled');
  await world.api('POST', '/v1/grants/eol/token', { wait: 5 }).catch(() => null);
  await world.ended();
}

/** The spellings under which a secret could hide. */
function spellings(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const inBase64 = [0, 1, 2].map((shift) =>
    // What surrounds it shifts the alphabet; the middle of each shift is always the same.
    Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .slice(4, -4),
  );
  return [secret, encodeURIComponent(secret), bytes.toString('hex'), ...inBase64];
}

function found(text: string): string[] {
  return secrets.filter((secret) => spellings(secret).some((spelling) => text.includes(spelling)));
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true })
    .map((name) => join(folder, String(name)))
    .filter((path) => statSync(path).isFile());
}

describe('a secret is found nowhere', () => {
  test('in the database, its write-ahead log, the journal or any other file, a crash included [S33]', () => {
    const files = filesIn(world.data).filter((path) => !path.endsWith('admin.key'));
    expect(files.some((path) => path.endsWith('.db'))).toBe(true);
    expect(files.some((path) => path.endsWith('.db-wal'))).toBe(true);
    expect(files.some((path) => path.includes('journal'))).toBe(true);
    for (const path of files) expect([path, ...found(readFileSync(path, 'latin1'))]).toEqual([path]);
  });

  test('in anything the server printed, at the most talkative level [S33]', () => {
    expect(world.output.length).toBeGreaterThan(100);
    expect(found(world.output)).toEqual([]);
  });

  test('in any answer of the API that is not the token itself, errors included [S33] [S77]', () => {
    expect(answers.length).toBeGreaterThan(20);
    for (const answer of answers) expect([...found(answer), answer].slice(0, -1)).toEqual([]);
  });

  test('by a search that could not find one: the keys are where they belong', () => {
    expect(found(readFileSync(join(world.data, 'admin.key'), 'latin1'))).toEqual([world.adminKey]);
    expect(found(`x${Buffer.from(`{"refresh_token":"${PLANTED.refreshToken}"}`).toString('base64')}`)).toEqual([
      PLANTED.refreshToken,
    ]);
  });

  test('readable by others than the owner of the process', () => {
    for (const path of filesIn(world.data)) expect([path, statSync(path).mode & 0o077]).toEqual([path, 0]);
  });
});
