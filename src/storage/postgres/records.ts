/** Records in PostgreSQL: JSON documents with the names by which they are found, changed by compare-and-set. */
import { EMPTY_CHAIN, stateOf } from '../../core/chain.ts';
import type { RecordKind, Records, StoredRecord, Taken, Term, Written } from '../../ports/store.ts';
import type { Telling } from './changes.ts';
import { type Database, integer, Overtaken, type Query, type Row, text } from './database.ts';

const SQL = {
  get: 'SELECT id, version, body FROM evergrant_records WHERE kind = $1 AND id = $2',
  insert: `INSERT INTO evergrant_records (kind, id, version, body) VALUES ($1, $2, 1, $3)
    ON CONFLICT (kind, id) DO NOTHING RETURNING id`,
  update: `UPDATE evergrant_records SET version = version + 1, body = $4
    WHERE kind = $1 AND id = $2 AND version = $3 RETURNING id`,
  remove: 'DELETE FROM evergrant_records WHERE kind = $1 AND id = $2 RETURNING id',
  // Takes the chain's row, or makes it, so that no append can come in between.
  list: `INSERT INTO evergrant_chains (grant_id, version, state, unsettled, listed, chain)
    VALUES ($1, 0, $2, false, true, '') ON CONFLICT (grant_id) DO UPDATE SET listed = true`,
  removeChain: 'DELETE FROM evergrant_chains WHERE grant_id = $1',
  removeRest: `WITH events AS (DELETE FROM evergrant_chain_events WHERE grant_id = $1)
    DELETE FROM evergrant_answers WHERE grant_id = $1`,
  removeTerms: `DELETE FROM evergrant_record_terms t WHERE kind = $1 AND id = $2 AND NOT EXISTS (
      SELECT FROM unnest($3::text[], $4::text[], $5::boolean[]) AS k (name, value, is_unique)
      WHERE k.name = t.name AND k.value = t.value AND k.is_unique = t.is_unique
    )`,
  // In one order, so that two records that want the same terms wait for each other in one direction only.
  addTerms: `INSERT INTO evergrant_record_terms (kind, name, value, id, is_unique)
    SELECT $1, k.name, k.value, $2, k.is_unique
    FROM unnest($3::text[], $4::text[], $5::boolean[]) AS k (name, value, is_unique) ORDER BY k.name, k.value
    ON CONFLICT DO NOTHING`,
  holders: `SELECT t.name, t.value, t.id FROM evergrant_record_terms t
    JOIN unnest($2::text[], $3::text[]) AS k (name, value) USING (name, value) WHERE t.kind = $1 AND t.is_unique`,
  find: `SELECT r.id, r.version, r.body FROM evergrant_record_terms t JOIN evergrant_records r USING (kind, id)
    WHERE t.kind = $1 AND t.name = $2 AND t.value = $3 AND t.is_unique`,
  tell: 'SELECT pg_notify($1, told) FROM unnest($2::text[]) AS told',
} as const;

export function recordsIn(db: Database, telling: Telling): Records {
  const tell = (query: Query, kind: RecordKind, id: string) =>
    query(SQL.tell, [telling.channel, telling.messages([{ kind, id }])]);
  return {
    insert: (kind, id, body, given) =>
      orTaken(db, async (query) => {
        if ((await query(SQL.insert, [kind, id, body])).length === 0) {
          throw new TakenBy({ outcome: 'taken', term: { name: 'id', value: id, unique: true }, by: id });
        }
        await setTerms(query, kind, id, given, true);
        if (kind === 'grant') await query(SQL.list, [id, stateOf(EMPTY_CHAIN)]);
        await tell(query, kind, id);
        return { outcome: 'written', version: 1 };
      }),
    update: (kind, id, version, body, given) =>
      orTaken(db, async (query) => {
        if ((await query(SQL.update, [kind, id, version, body])).length === 0) return { outcome: 'stale' };
        await setTerms(query, kind, id, given, false);
        await tell(query, kind, id);
        return { outcome: 'written', version: version + 1 };
      }),
    remove: (kind, id) =>
      db.transaction(async (query) => {
        if ((await query(SQL.remove, [kind, id])).length === 0) return false;
        if (kind === 'grant') await query(SQL.removeChain, [id]);
        // Its row is locked now; what was appended until then is seen by the next statement.
        if (kind === 'grant') await query(SQL.removeRest, [id]);
        await query(SQL.removeTerms, [kind, id, [], [], []]);
        await tell(query, kind, id);
        return true;
      }),
    get: async (kind, id) => shown((await db.query(SQL.get, [kind, id]))[0]),
    find: async (kind, name, value) => shown((await db.query(SQL.find, [kind, name, value]))[0]),
    async list(kind, { terms = [], limit, after }) {
      const values = terms.flatMap((term) => [term.name, term.value]);
      const rows = await db.query(listBy(kind, terms), [kind, after ?? '', limit + 1, ...values]);
      const items = rows.slice(0, limit).map(toRecord);
      return { items, next: rows.length > limit ? (items.at(-1)?.id ?? null) : null };
    },
  };
}

/** Ends a transaction that may not be: nothing of it stays. */
class TakenBy extends Error {
  readonly taken: Taken;

  constructor(taken: Taken) {
    super('The term is taken');
    this.taken = taken;
  }
}

async function orTaken<T>(db: Database, work: (query: Query) => Promise<Written | T>): Promise<Written | Taken | T> {
  try {
    return await db.transaction(work);
  } catch (error) {
    if (error instanceof TakenBy) return error.taken;
    throw error;
  }
}

async function setTerms(
  query: Query,
  kind: RecordKind,
  id: string,
  given: readonly Term[],
  isNew: boolean,
): Promise<void> {
  const terms = ownTerms(kind, given);
  const columns = [
    terms.map((one) => one.name),
    terms.map((one) => one.value),
    terms.map((one) => one.unique),
  ] as const;
  if (!isNew) await query(SQL.removeTerms, [kind, id, ...columns]);
  if (terms.length > 0) await query(SQL.addTerms, [kind, id, ...columns]);
  const unique = terms.filter((one) => one.unique);
  if (unique.length === 0) return;
  const names = [unique.map((one) => one.name), unique.map((one) => one.value)] as const;
  const holders = new Map(
    (await query(SQL.holders, [kind, ...names])).map((row) => [termKey(text(row, 'name'), text(row, 'value')), row]),
  );
  for (const { name, value } of unique) {
    const holder = holders.get(termKey(name, value));
    // Its holder gave it up between two statements.
    if (!holder) throw new Overtaken('A unique term was given up meanwhile');
    const by = text(holder, 'id');
    const term = given.find((one) => one.name === name && one.value === value && one.unique);
    if (by !== id && term) throw new TakenBy({ outcome: 'taken', term, by });
  }
}

/** Each name and value once. The state of a grant is the store's own term. */
function ownTerms(kind: RecordKind, given: readonly Term[]): readonly Required<Term>[] {
  const terms = new Map<string, Required<Term>>();
  for (const { name, value, unique = false } of given) {
    if (kind === 'grant' && name === 'state') continue;
    const key = termKey(name, value);
    terms.set(key, { name, value, unique: unique || terms.get(key)?.unique === true });
  }
  return [...terms.values()];
}

function termKey(name: string, value: string): string {
  return JSON.stringify([name, value]);
}

/** Walks the entries of the first term, which lie in the order of ids, and probes the others. */
function listBy(kind: RecordKind, terms: readonly Pick<Term, 'name'>[]): string {
  const joins = terms.map(({ name }, i) => {
    const [nameAt, valueAt] = [`$${4 + 2 * i}`, `$${5 + 2 * i}`];
    if (kind === 'grant' && name === 'state') {
      return `JOIN evergrant_chains t${i} ON t${i}.grant_id = r.id AND t${i}.listed AND t${i}.state = ${valueAt}
        AND t${i}.grant_id > $2 AND ${nameAt}::text IS NOT NULL`;
    }
    return `JOIN evergrant_record_terms t${i} ON t${i}.kind = $1 AND t${i}.name = ${nameAt} AND t${i}.value = ${valueAt}
      AND t${i}.id = r.id AND t${i}.id > $2`;
  });
  return `SELECT r.id, r.version, r.body FROM evergrant_records r ${joins.join(' ')}
    WHERE r.kind = $1 AND r.id > $2 ORDER BY r.id LIMIT $3`;
}

function shown(row: Row | undefined): StoredRecord | null {
  return row ? toRecord(row) : null;
}

function toRecord(row: Row): StoredRecord {
  return { id: text(row, 'id'), version: integer(row, 'version'), body: text(row, 'body') };
}
