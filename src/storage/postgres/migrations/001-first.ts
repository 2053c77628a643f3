/** The first tables. A migration is never changed once it was released: the next one is added beside it. */
export const first = {
  version: 1,
  compatibleWith: 1,
  sql: `
    -- Few values about the database itself, such as the key check.
    CREATE TABLE evergrant_meta (
      name  text COLLATE "C" PRIMARY KEY,
      value text NOT NULL
    );

    -- One chain a grant: the fold of its events so far. Version 0: nothing happened to the grant yet.
    CREATE TABLE evergrant_chains (
      grant_id  text COLLATE "C" PRIMARY KEY,
      version   bigint  NOT NULL,
      state     text COLLATE "C" NOT NULL,
      -- something was under way, a start must take it up
      unsettled boolean NOT NULL,
      -- milliseconds since 1970; null: nothing is due
      due_at    bigint,
      -- there is a record of this grant, so it is listed and counted
      listed    boolean NOT NULL DEFAULT false,
      chain     text    NOT NULL
    );
    CREATE INDEX evergrant_chains_unsettled ON evergrant_chains (grant_id) WHERE unsettled;
    CREATE INDEX evergrant_chains_due ON evergrant_chains (due_at) WHERE due_at IS NOT NULL;
    CREATE INDEX evergrant_chains_state ON evergrant_chains (state, grant_id) WHERE listed;

    -- The history, without answers.
    CREATE TABLE evergrant_chain_events (
      grant_id text COLLATE "C",
      version  bigint,
      -- nothing came of it, and of such only the newest are kept
      passing  boolean NOT NULL DEFAULT false,
      event    text NOT NULL,
      PRIMARY KEY (grant_id, version)
    );
    CREATE INDEX evergrant_chain_events_passing ON evergrant_chain_events (grant_id, version) WHERE passing;

    -- What token endpoints answered, sealed, while the chain may need it.
    CREATE TABLE evergrant_answers (
      grant_id text COLLATE "C",
      link     text COLLATE "C",
      sealed   text NOT NULL,
      PRIMARY KEY (grant_id, link)
    );

    -- Every refresh token ever held, as a keyed digest. Outlives its grant.
    CREATE TABLE evergrant_fingerprints (
      grant_id    text COLLATE "C",
      link        text COLLATE "C",
      fingerprint text COLLATE "C" NOT NULL,
      -- joined: is or was in the chain; orphan: received, but its parent is not in the chain
      seen        text NOT NULL CHECK (seen IN ('joined', 'orphan')),
      PRIMARY KEY (grant_id, link)
    );
    CREATE INDEX evergrant_fingerprints_by_value ON evergrant_fingerprints (fingerprint);

    CREATE TABLE evergrant_records (
      kind    text COLLATE "C",
      id      text COLLATE "C",
      version bigint NOT NULL,
      body    text   NOT NULL,
      PRIMARY KEY (kind, id)
    );

    -- Names by which records are found. The state of a grant is not among them: its chain has it.
    CREATE TABLE evergrant_record_terms (
      kind      text COLLATE "C",
      name      text COLLATE "C",
      value     text COLLATE "C",
      id        text COLLATE "C",
      is_unique boolean NOT NULL,
      PRIMARY KEY (kind, name, value, id)
    );
    CREATE UNIQUE INDEX evergrant_record_terms_unique ON evergrant_record_terms (kind, name, value) WHERE is_unique;
    CREATE INDEX evergrant_record_terms_by_record ON evergrant_record_terms (kind, id);

    CREATE TABLE evergrant_nodes (
      id          text COLLATE "C" PRIMARY KEY,
      run         text        NOT NULL,
      folder      text        NOT NULL,
      lease_until timestamptz NOT NULL,
      -- the number of the last record of its journal up to which all are in this database
      merged      bigint      NOT NULL DEFAULT 0,
      merged_for  text,
      given_up    boolean     NOT NULL DEFAULT false
    );
  `,
} as const;
