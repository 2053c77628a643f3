/**
 * A record's terms are found by the record. The index of before was passed over: SQLite took the rows of the whole kind to
 * be cheaper than looking up in the table what the index did not hold, so a change of one record cost as much as all there
 * were of its kind.
 */
export const terms = {
  version: 4,
  sql: `
    DROP INDEX record_terms_by_record;
    CREATE INDEX record_terms_by_record ON record_terms (kind, id, name, value, is_unique);
  `,
} as const;
