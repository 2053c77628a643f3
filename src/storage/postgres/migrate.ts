/** Brings the schema up to date, one node at a time, while older nodes go on working. */
import { EvergrantError } from '../../core/errors.ts';
import { type Database, integer, type Query } from './database.ts';
import { MIGRATIONS, type Migration } from './migrations/index.ts';

/** Changes of a large table take their time. */
const MIGRATION_MS = 600_000;
/** Names the lock by which migrations wait for each other: "evergran" in ASCII. */
const LOCK = '7311142587118805358';

interface Schema {
  readonly version: number;
  readonly compatibleWith: number;
}

/** Throws `setting` where the schema is of a newer program that this one cannot work with. */
export async function migrate(db: Database, migrations: readonly Migration[] = MIGRATIONS): Promise<void> {
  const known = migrations.at(-1)?.version ?? 0;
  // Mostly there is nothing to do; then nobody waits for a lock.
  if ((await isThere(db.query)) && isUpToDate(await schemaOf(db.query), known)) return;
  await db.migration(async (query) => {
    await query(`SELECT pg_advisory_xact_lock(${LOCK})`);
    await query(TABLE);
    const schema = await schemaOf(query);
    if (isUpToDate(schema, known)) return;
    for (const { version, compatibleWith, sql } of migrations.filter((one) => one.version > schema.version)) {
      await query(sql);
      await query('INSERT INTO evergrant_schema_version (version, compatible_with) VALUES ($1, $2)', [
        version,
        compatibleWith,
      ]);
    }
  }, MIGRATION_MS);
}

const TABLE = `CREATE TABLE IF NOT EXISTS evergrant_schema_version (
  version         integer PRIMARY KEY,
  -- programs that know the schema up to this version still work with it
  compatible_with integer NOT NULL,
  applied_at      timestamptz NOT NULL DEFAULT now()
)`;

function isUpToDate({ version, compatibleWith }: Schema, known: number): boolean {
  if (compatibleWith <= known) return version >= known;
  throw new EvergrantError('setting', `The database has schema ${version}; this program knows ${known}.`, {
    remedy: 'Start the newer version of Evergrant that wrote it, or restore a backup from before the upgrade.',
  });
}

async function isThere(query: Query): Promise<boolean> {
  const [row] = await query(`SELECT to_regclass('evergrant_schema_version') IS NOT NULL AS is_there`);
  return row?.is_there === true;
}

async function schemaOf(query: Query): Promise<Schema> {
  const [row] =
    await query(`SELECT coalesce(max(version), 0) AS version, coalesce(max(compatible_with), 0) AS compatible
    FROM evergrant_schema_version`);
  return { version: integer(row, 'version'), compatibleWith: integer(row, 'compatible') };
}
