/** The first tables. A migration is never changed once it was released: the next one is added beside it. */
export const first = {
  version: 1,
  sql: `
    -- Few values about the database itself, such as the key check.
    CREATE TABLE meta (
      name  TEXT NOT NULL PRIMARY KEY,
      value TEXT NOT NULL
    ) STRICT;

    -- One chain a grant: the fold of its events so far.
    CREATE TABLE chains (
      grant_id  TEXT    NOT NULL PRIMARY KEY,
      version   INTEGER NOT NULL,
      state     TEXT    NOT NULL,
      -- 1: something was under way, a start must take it up
      unsettled INTEGER NOT NULL CHECK (unsettled IN (0, 1)),
      chain     TEXT    NOT NULL
    ) STRICT;
    CREATE INDEX chains_unsettled ON chains (grant_id) WHERE unsettled = 1;

    -- The history, without answers.
    CREATE TABLE chain_events (
      grant_id TEXT    NOT NULL REFERENCES chains ON DELETE CASCADE,
      version  INTEGER NOT NULL,
      event    TEXT    NOT NULL CHECK (json_valid(event)),
      PRIMARY KEY (grant_id, version)
    ) STRICT;

    -- What token endpoints answered, sealed, while the chain may need it.
    CREATE TABLE answers (
      grant_id TEXT NOT NULL REFERENCES chains ON DELETE CASCADE,
      link     TEXT NOT NULL,
      sealed   TEXT NOT NULL,
      PRIMARY KEY (grant_id, link)
    ) STRICT;

    -- Every refresh token ever held, as a keyed digest. Outlives its grant.
    CREATE TABLE fingerprints (
      grant_id    TEXT NOT NULL,
      link        TEXT NOT NULL,
      fingerprint TEXT NOT NULL,
      -- joined: is or was in the chain; orphan: received, but its parent is not in the chain
      seen        TEXT NOT NULL CHECK (seen IN ('joined', 'orphan')),
      PRIMARY KEY (grant_id, link)
    ) STRICT;
    CREATE INDEX fingerprints_by_value ON fingerprints (fingerprint);

    CREATE TABLE records (
      kind    TEXT    NOT NULL,
      id      TEXT    NOT NULL,
      version INTEGER NOT NULL,
      body    TEXT    NOT NULL,
      PRIMARY KEY (kind, id)
    ) STRICT;

    -- Names by which records are found. The term 'state' of a grant is written by the store alone.
    CREATE TABLE record_terms (
      kind      TEXT    NOT NULL,
      name      TEXT    NOT NULL,
      value     TEXT    NOT NULL,
      id        TEXT    NOT NULL,
      is_unique INTEGER NOT NULL CHECK (is_unique IN (0, 1)),
      PRIMARY KEY (kind, name, value, id),
      FOREIGN KEY (kind, id) REFERENCES records ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX record_terms_unique ON record_terms (kind, name, value) WHERE is_unique = 1;
    CREATE INDEX record_terms_by_record ON record_terms (kind, id, name);
  `,
} as const;
