/** What lies on disk when real secrets went through sealer, journal and database together. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ChainEvent } from '../core/chain.ts';
import { Secret } from '../core/secret.ts';
import type { SealedPlace } from '../ports/sealer.ts';
import { createAesSealer } from '../world/aes-sealer.ts';
import { openFileJournal } from '../world/file-journal.ts';
import { createLog } from '../world/pino-log.ts';
import { RootKey } from '../world/root-key.ts';
import { systemClock } from '../world/system-clock.ts';
import { systemRandom } from '../world/system-random.ts';
import { openSqliteStore } from './sqlite/store.ts';

let dataFolder: string;
beforeEach(() => {
  dataFolder = mkdtempSync(join(tmpdir(), 'evergrant-planted-'));
});
afterEach(() => rmSync(dataFolder, { recursive: true }));

const REFRESH_TOKEN = 'planted-refresh-token-7f3a';
const ACCESS_TOKEN = 'planted-access-token-9c1d';
const CLIENT_SECRET = 'planted-client-secret-52be';
const ROOT_KEY = Buffer.alloc(32, 'planted-root-key-');

/** Every spelling under which a text could lie in a file. */
function spellings(text: string): Buffer[] {
  const bytes = Buffer.from(text);
  return [
    bytes,
    ...(['hex', 'base64', 'base64url'] as const).map((form) => Buffer.from(bytes.toString(form).slice(0, -4))),
  ];
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

test('[S33] no token, client secret or root key is found in database, write-ahead log or journal, before or after a wipe', async () => {
  const sealer = createAesSealer(new RootKey(ROOT_KEY), systemRandom);
  const log = createLog({ level: 'silent' });
  const journal = await openFileJournal({ dataFolder, clock: systemClock, log });
  const store = openSqliteStore(join(dataFolder, 'evergrant.db'));
  store.meta.set('key_check', sealer.keyCheck);
  const body = JSON.stringify({ access_token: ACCESS_TOKEN, refresh_token: REFRESH_TOKEN });
  const place: SealedPlace = { table: 'answers', row: 'grt_1/lnk_1', field: 'answer' };
  const answer = sealer.seal(new Secret('answer of a token endpoint', body), place);
  const fingerprint = sealer.fingerprint(new Secret('refresh token', REFRESH_TOKEN));
  const at = systemClock.moment();
  const common = { node: 'node-1', requestedAt: at, receivedAt: at } as const;
  await journal.append({
    ...common,
    grant: 'grt_1',
    link: 'lnk_1',
    purpose: 'authorization',
    presented: null,
    sequence: null,
    generation: null,
    answer,
  });
  const link = { ...common, id: 'lnk_1', fingerprint, accessTokenLifeMs: 600_000, scope: null } as const;
  const event: ChainEvent = { type: 'authorized', at, link, answer, by: 'code' };
  await store.chains.append('grt_1', 0, event);
  const appPlace: SealedPlace = { table: 'apps', row: 'app_1', field: 'client_secret' };
  const sealedSecret = sealer.seal(new Secret('client secret', CLIENT_SECRET), appPlace);
  await store.records.insert('app', 'app_1', JSON.stringify({ clientSecret: sealedSecret }), []);

  const seen = () => filesIn(dataFolder).map((path) => ({ path, bytes: readFileSync(path) }));
  const expectClean = () => {
    for (const { path, bytes } of seen()) {
      for (const secret of [REFRESH_TOKEN, ACCESS_TOKEN, CLIENT_SECRET, ROOT_KEY.toString()]) {
        for (const spelling of spellings(secret)) expect(bytes.includes(spelling), `${secret} in ${path}`).toBe(false);
      }
    }
  };
  expectClean();
  // The search would find it: what was kept is there, sealed.
  expect(
    seen()
      .filter(({ bytes }) => bytes.includes(answer))
      .map(({ path }) => path.replace(dataFolder, '')),
  ).toEqual(expect.arrayContaining(['/evergrant.db-wal', '/journal/0000000001-000000000000001.journal']));
  const kept = await store.chains.answer('grt_1', 'lnk_1');
  expect(kept && sealer.open(kept, 'answer of a token endpoint', place).reveal()).toBe(body);

  await store.chains.append('grt_1', 'any', { type: 'ended', at });
  await store.close();
  await journal.close();
  expectClean();
  expect(readFileSync(join(dataFolder, 'evergrant.db')).includes(answer)).toBe(false);
});
