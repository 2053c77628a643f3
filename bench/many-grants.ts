/**
 * Many grants in a store, quickly: one grant that real code made is copied by SQL, with ids and unique names of its own.
 * Written so that SQLite and PostgreSQL take the same statements. Nobody can use the copies, since a sealed answer opens
 * at its own place alone; for what a store costs that makes no difference.
 */
export interface Dialect {
  /** Before the name of each table. */
  readonly prefix: string;
  /** A source `n (i)` of the numbers 1 to `count`. */
  readonly numbers: (count: number) => string;
  /** The number `i` with zeros before it, as wide as the part of an id after its prefix. */
  readonly padded: string;
}

export const SQLITE: Dialect = {
  prefix: '',
  numbers: (count) => `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})`,
  padded: `printf('%026d', i)`,
};

/** Copies the grant `id` with the alias `alias` so many times; due far away, at another millisecond each. */
export function copies(dialect: Dialect, id: string, alias: string, count: number): readonly string[] {
  const { prefix: p, numbers, padded } = dialect;
  const n = numbers(count);
  const own = `'grt_' || ${padded}`;
  const renamed = (text: string) => `replace(replace(${text}, '${id}', ${own}), '${alias}', '${alias}-' || i)`;
  const insert = (table: string, columns: string, values: string, where: string) =>
    `${n} INSERT INTO ${p}${table} (${columns}) SELECT ${values} FROM n, ${p}${table} t WHERE ${where} ORDER BY i`;
  const ofGrant = `t.grant_id = '${id}'`;
  const ofRecord = `t.kind = 'grant' AND t.id = '${id}'`;
  return [
    insert('records', 'kind, id, version, body', `kind, ${own}, version, ${renamed('body')}`, ofRecord),
    insert(
      'record_terms',
      'kind, name, value, id, is_unique',
      `kind, name, CASE WHEN is_unique THEN value || '-' || i ELSE value END, ${own}, is_unique`,
      ofRecord,
    ),
    insert(
      'chains',
      'grant_id, version, state, unsettled, chain, due_at',
      `${own}, version, state, unsettled, chain, ${FAR_AWAY} + i`,
      ofGrant,
    ),
    insert('answers', 'grant_id, link, sealed', `${own}, link, sealed`, ofGrant),
    insert('fingerprints', 'grant_id, link, fingerprint, seen', `${own}, link, fingerprint || '-' || i, seen`, ofGrant),
    insert('chain_events', 'grant_id, version, event', `${own}, version, event`, ofGrant),
  ];
}

/** The year 2100. */
const FAR_AWAY = 4_102_444_800_000;
