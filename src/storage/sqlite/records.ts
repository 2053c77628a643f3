/** Records in SQLite: JSON documents with the names by which they are found, changed by compare-and-set. */
import type { DatabaseSync } from 'node:sqlite';
import { type ChainState, EMPTY_CHAIN } from '../../core/chain.ts';
import type { RecordKind, Records, StoredRecord, Taken, Term } from '../../ports/store.ts';
import { integer, type Row, Statement, text } from './database.ts';
import type { GroupCommit } from './group-commit.ts';
import type { StateCounts } from './state-counts.ts';

const SQL = {
  get: 'SELECT id, version, body FROM records WHERE kind = ? AND id = ?',
  insert: 'INSERT INTO records (kind, id, version, body) VALUES (?, ?, 1, ?)',
  update: 'UPDATE records SET version = version + 1, body = ? WHERE kind = ? AND id = ? AND version = ?',
  remove: 'DELETE FROM records WHERE kind = ? AND id = ?',
  removeChain: 'DELETE FROM chains WHERE grant_id = ?',
  findId: 'SELECT id FROM record_terms WHERE kind = ? AND name = ? AND value = ? AND is_unique = 1',
  addTerm: `INSERT INTO record_terms (kind, name, value, id, is_unique) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (kind, name, value, id) DO UPDATE SET is_unique = max(is_unique, excluded.is_unique)`,
  removeTerms: 'DELETE FROM record_terms WHERE kind = ? AND id = ?',
  stateOfChain: 'SELECT state FROM chains WHERE grant_id = ?',
  beginChain: `INSERT INTO chains (grant_id, version, state, unsettled, chain) VALUES (?, 0, 'pending', 0, ?)
    ON CONFLICT (grant_id) DO NOTHING`,
} as const;

type Statements = Readonly<Record<keyof typeof SQL, Statement>>;

export function recordsIn(db: DatabaseSync, commits: GroupCommit, counts: StateCounts): Records {
  const sql = Object.fromEntries(
    Object.entries(SQL).map(([name, statement]) => [name, new Statement(db, statement)]),
  ) as Statements;
  const lists = new Map<string, Statement>();
  return {
    insert: (kind, id, body, terms) => commits.write(() => insert(sql, counts, kind, id, body, terms)),
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
        if (kind === 'grant') removeChain(sql, counts, id);
        return true;
      }),
    get: async (kind, id) => shown(sql.get.first(kind, id)),
    async find(kind, name, value) {
      const found = sql.findId.first(kind, name, value);
      return found ? shown(sql.get.first(kind, text(found, 'id'))) : null;
    },
    async list(kind, { terms = [], limit, after }) {
      const shape = terms.map((term) => (kind === 'grant' && term.name === 'state' ? 'state' : 'term'));
      const statement = lists.get(shape.join()) ?? new Statement(db, listBy(shape));
      lists.set(shape.join(), statement);
      const values = terms.flatMap((term) => [term.name, term.value]);
      const rows = statement.all(kind, after ?? '', limit + 1, ...values);
      const items = rows.slice(0, limit).map(toRecord);
      return { items, next: rows.length > limit ? (items.at(-1)?.id ?? null) : null };
    },
  };
}

/** Walks the entries of the first term, which lie in the order of ids, and probes the others. */
function listBy(shape: readonly ('state' | 'term')[]): string {
  if (shape.length === 0)
    return 'SELECT id, version, body FROM records WHERE kind = ?1 AND id > ?2 ORDER BY id LIMIT ?3';
  const sources = shape.map((one, i) => `${one === 'state' ? 'chains' : 'record_terms'} t${i}`);
  const ids = shape.map((one, i) => `t${i}.${one === 'state' ? 'grant_id' : 'id'}`);
  const matches = shape.map((one, i) => {
    const [name, value] = [`?${4 + 2 * i}`, `?${5 + 2 * i}`];
    return one === 'state'
      ? `${name} = 'state' AND t${i}.state = ${value}`
      : `t${i}.kind = ?1 AND t${i}.name = ${name} AND t${i}.value = ${value}`;
  });
  const same = ids.slice(1).map((id) => `${id} = ${ids[0]}`);
  return `SELECT r.id, r.version, r.body FROM ${[...sources, 'records r'].join(' CROSS JOIN ')}
    WHERE ${[...matches, ...same].join(' AND ')} AND ${ids[0]} > ?2 AND r.kind = ?1 AND r.id = ${ids[0]}
    ORDER BY ${ids[0]} LIMIT ?3`;
}

function insert(
  sql: Statements,
  counts: StateCounts,
  kind: RecordKind,
  id: string,
  body: string,
  terms: readonly Term[],
) {
  if (sql.get.first(kind, id)) {
    return { outcome: 'taken', term: { name: 'id', value: id, unique: true }, by: id } as const;
  }
  const taken = takenTerm(sql, kind, id, terms);
  if (taken) return taken;
  sql.insert.run(kind, id, body);
  addTerms(sql, kind, id, terms);
  if (kind === 'grant') {
    sql.beginChain.run(id, JSON.stringify(EMPTY_CHAIN));
    counts.list(id, stateOfChain(sql, id) ?? 'pending');
  }
  return { outcome: 'written', version: 1 } as const;
}

function removeChain(sql: Statements, counts: StateCounts, id: string): void {
  const state = stateOfChain(sql, id);
  if (state === null) return;
  sql.removeChain.run(id);
  counts.remove(state);
}

function stateOfChain(sql: Statements, id: string): ChainState | null {
  const row = sql.stateOfChain.first(id);
  return row ? (text(row, 'state') as ChainState) : null;
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
    // The state of a grant is that of its chain.
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
