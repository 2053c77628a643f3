/** Records in SQLite: JSON documents with the names by which they are found, changed by compare-and-set. */
import type { DatabaseSync } from 'node:sqlite';
import type { RecordKind, Records, StoredRecord, Taken, Term } from '../../ports/store.ts';
import { integer, type Row, Statement, text } from './database.ts';
import type { GroupCommit } from './group-commit.ts';

const SQL = {
  get: 'SELECT id, version, body FROM records WHERE kind = ? AND id = ?',
  insert: 'INSERT INTO records (kind, id, version, body) VALUES (?, ?, 1, ?)',
  update: 'UPDATE records SET version = version + 1, body = ? WHERE kind = ? AND id = ? AND version = ?',
  remove: 'DELETE FROM records WHERE kind = ? AND id = ?',
  removeChain: 'DELETE FROM chains WHERE grant_id = ?',
  findId: 'SELECT id FROM record_terms WHERE kind = ? AND name = ? AND value = ? AND is_unique = 1',
  addTerm: `INSERT INTO record_terms (kind, name, value, id, is_unique) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (kind, name, value, id) DO UPDATE SET is_unique = max(is_unique, excluded.is_unique)`,
  removeTerms: `DELETE FROM record_terms WHERE kind = ? AND id = ? AND NOT (kind = 'grant' AND name = 'state')`,
  stateOfChain: 'SELECT state FROM chains WHERE grant_id = ?',
} as const;

type Statements = Readonly<Record<keyof typeof SQL, Statement>>;

export function recordsIn(db: DatabaseSync, commits: GroupCommit): Records {
  const sql = Object.fromEntries(
    Object.entries(SQL).map(([name, statement]) => [name, new Statement(db, statement)]),
  ) as Statements;
  const lists = new Map<number, Statement>();
  return {
    insert: (kind, id, body, terms) => commits.write(() => insert(sql, kind, id, body, terms)),
    update: (kind, id, version, body, terms) =>
      commits.write(() => {
        if (!isAt(sql, kind, id, version)) return { outcome: 'stale' };
        const taken = takenTerm(sql, kind, id, terms);
        if (taken) return taken;
        sql.update.run(body, kind, id, version);
        sql.removeTerms.run(kind, id);
        addTerms(sql, kind, id, terms);
        return { outcome: 'written', version: version + 1 };
      }),
    remove: (kind, id) =>
      commits.write(() => {
        if (sql.remove.run(kind, id) === 0) return false;
        if (kind === 'grant') sql.removeChain.run(id);
        return true;
      }),
    get: async (kind, id) => shown(sql.get.first(kind, id)),
    async find(kind, name, value) {
      const found = sql.findId.first(kind, name, value);
      return found ? shown(sql.get.first(kind, text(found, 'id'))) : null;
    },
    async list(kind, { terms = [], limit, after }) {
      const statement = lists.get(terms.length) ?? new Statement(db, listBy(terms.length));
      lists.set(terms.length, statement);
      const values = terms.flatMap((term) => [term.name, term.value]);
      const rows = statement.all(kind, after ?? '', limit + 1, ...values);
      const items = rows.slice(0, limit).map(toRecord);
      return { items, next: rows.length > limit ? (items.at(-1)?.id ?? null) : null };
    },
  };
}

/** Walks the entries of the first term, which lie in the order of ids, and probes the others. */
function listBy(terms: number): string {
  if (terms === 0) return 'SELECT id, version, body FROM records WHERE kind = ?1 AND id > ?2 ORDER BY id LIMIT ?3';
  const tables = Array.from({ length: terms }, (_, i) => `record_terms t${i}`);
  const matches = tables.map(
    (_, i) => `t${i}.kind = ?1 AND t${i}.name = ?${4 + 2 * i} AND t${i}.value = ?${5 + 2 * i}`,
  );
  const same = tables.slice(1).map((_, i) => `t${i + 1}.id = t0.id`);
  return `SELECT r.id, r.version, r.body FROM ${[...tables, 'records r'].join(' CROSS JOIN ')}
    WHERE ${[...matches, ...same].join(' AND ')} AND t0.id > ?2 AND r.kind = ?1 AND r.id = t0.id
    ORDER BY t0.id LIMIT ?3`;
}

function insert(sql: Statements, kind: RecordKind, id: string, body: string, terms: readonly Term[]) {
  if (sql.get.first(kind, id)) {
    return { outcome: 'taken', term: { name: 'id', value: id, unique: true }, by: id } as const;
  }
  const taken = takenTerm(sql, kind, id, terms);
  if (taken) return taken;
  sql.insert.run(kind, id, body);
  addTerms(sql, kind, id, terms);
  if (kind === 'grant') {
    const row = sql.stateOfChain.first(id);
    sql.addTerm.run(kind, 'state', row ? text(row, 'state') : 'pending', id, 0);
  }
  return { outcome: 'written', version: 1 } as const;
}

function isAt(sql: Statements, kind: RecordKind, id: string, version: number): boolean {
  const row = sql.get.first(kind, id);
  return row !== undefined && integer(row, 'version') === version;
}

function takenTerm(sql: Statements, kind: RecordKind, id: string, terms: readonly Term[]): Taken | null {
  for (const term of terms.filter((one) => one.unique)) {
    const row = sql.findId.first(kind, term.name, term.value);
    if (row && text(row, 'id') !== id) return { outcome: 'taken', term, by: text(row, 'id') };
  }
  return null;
}

function addTerms(sql: Statements, kind: RecordKind, id: string, terms: readonly Term[]): void {
  for (const { name, value, unique } of terms) {
    // The state of a grant is the store's own term.
    if (kind === 'grant' && name === 'state') continue;
    sql.addTerm.run(kind, name, value, id, unique ? 1 : 0);
  }
}

function shown(row: Row | undefined): StoredRecord | null {
  return row ? toRecord(row) : null;
}

function toRecord(row: Row): StoredRecord {
  return { id: text(row, 'id'), version: integer(row, 'version'), body: text(row, 'body') };
}
