/**
 * A keeper on a bench whose database is a real file: it can be copied at any moment, and set back to a copy, with
 * everything else as it is.
 */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Secret } from '../../src/core/secret.ts';
import type { RotationPolicy } from '../../src/core/rotation-policy.ts';
import type { NumberedRecord } from '../../src/ports/journal.ts';
import type { Store } from '../../src/ports/store.ts';
import { openSqliteStore } from '../../src/storage/sqlite/store.ts';
import { bench } from './keeper-bench.ts';

const WISH = { minTtlMs: 5_000, waitMs: 30_000 };

export type Restorable = Awaited<ReturnType<typeof restorable>>;

export async function restorable(policy: RotationPolicy) {
  const folder = mkdtempSync(join(tmpdir(), 'evergrant-restore-'));
  const file = join(folder, 'now.db');
  let current = openSqliteStore(file);
  const store: Store = {
    get chains() {
      return current.chains;
    },
    get records() {
      return current.records;
    },
    get nodes() {
      return current.nodes;
    },
    isShared: false,
    watch: () => () => undefined,
    heardAgoMs: () => 0,
    check: () => current.check(),
    close: () => current.close(),
  };
  // Without an account, authorizations of one person are several grants.
  const world = await bench({ policy, store, provider: { identity: null } });
  let backups = 0;
  return {
    world,
    /** A copy of the database as it is on disk right now. */
    backup(): string {
      const copy = join(folder, `backup-${++backups}.db`);
      const other = new DatabaseSync(file);
      other.exec(`VACUUM INTO '${copy}'`);
      other.close();
      return copy;
    },
    /** The database is this copy, the process a new one; the journal has these records. */
    async restore(copy: string, journal: readonly NumberedRecord[] = [...world.journal.numbered]): Promise<void> {
      await world.keeper.drain(0);
      await current.close();
      for (const end of ['-wal', '-shm']) rmSync(`${file}${end}`, { force: true });
      copyFileSync(copy, file);
      current = openSqliteStore(file);
      world.journal.numbered = [...journal];
      world.upstream.presented.length = 0;
      await world.restart();
    },
    /** The access token once the last one is over, and the spacing of every provider too. */
    async use(alias = 'eol'): Promise<string> {
      await world.clock.advance(700_000);
      return (await world.clock.until(world.keeper.tokens.get(alias, WISH))).accessToken.reveal();
    },
    /** Gives the grant a new authorization; makes the grant where it is not there. */
    async authorize(alias: string): Promise<void> {
      const { keeper, clock, app } = world;
      const { id } = await keeper.grants.get(alias).catch(() => keeper.grants.create({ app: app.id, alias }));
      const { ticket } = await keeper.authorizations.begin(id, {});
      const { location, browserCookie } = await keeper.authorizations.open(ticket);
      const state = new URL(location).searchParams.get('state');
      const code = new Secret('authorization code', 'the-code');
      const callback = { state, code, error: null, errorDescription: null, iss: null };
      await clock.until(keeper.authorizations.finish(callback, browserCookie));
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await world.keeper.drain(0);
      await current.close();
      rmSync(folder, { recursive: true });
    },
  };
}
