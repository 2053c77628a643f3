/** Nodes, restores, and when a chain wants something done. */
export const nodes = {
  version: 2,
  sql: `
    -- Milliseconds since 1970; null: nothing is due.
    ALTER TABLE chains ADD COLUMN due_at INTEGER;
    CREATE INDEX chains_due ON chains (due_at) WHERE due_at IS NOT NULL;

    CREATE TABLE nodes (
      id          TEXT    NOT NULL PRIMARY KEY,
      run         TEXT    NOT NULL,
      folder      TEXT    NOT NULL,
      lease_until INTEGER NOT NULL,
      -- the number of the last record of its journal up to which all are in this database
      merged      INTEGER NOT NULL,
      merged_for  TEXT,
      given_up    INTEGER NOT NULL CHECK (given_up IN (0, 1))
    ) STRICT;
  `,
} as const;
