/** The state of a grant stands in its chain alone, and histories know which of their events may go. */
export const states = {
  version: 3,
  sql: `
    -- Every grant has a chain, from the beginning: an empty one until something is appended.
    INSERT INTO chains (grant_id, version, state, unsettled, chain)
      SELECT id, 0, 'pending', 0,
        '{"generation":0,"authorizedAt":null,"exchanges":0,"nextSequence":1,"links":[],"attempts":[],"published":null,"deferral":null,"end":null,"stateSince":0}'
      FROM records WHERE kind = 'grant' ON CONFLICT (grant_id) DO NOTHING;
    CREATE INDEX chains_by_state ON chains (state, grant_id);
    DELETE FROM record_terms WHERE kind = 'grant' AND name = 'state';

    CREATE TABLE events_with_passing (
      grant_id TEXT    NOT NULL REFERENCES chains ON DELETE CASCADE,
      version  INTEGER NOT NULL,
      -- 1: nothing came of it, and of such only the newest are kept
      passing  INTEGER NOT NULL DEFAULT 0 CHECK (passing IN (0, 1)),
      event    TEXT    NOT NULL,
      PRIMARY KEY (grant_id, version)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO events_with_passing (grant_id, version, passing, event)
      SELECT grant_id, version, 0, event FROM chain_events ORDER BY grant_id, version;
    DROP TABLE chain_events;
    ALTER TABLE events_with_passing RENAME TO chain_events;
    CREATE INDEX chain_events_passing ON chain_events (grant_id, version) WHERE passing = 1;

    CREATE TABLE fingerprints_by_link (
      grant_id    TEXT NOT NULL,
      link        TEXT NOT NULL,
      fingerprint TEXT NOT NULL,
      -- joined: is or was in the chain; orphan: received, but its parent is not in the chain
      seen        TEXT NOT NULL CHECK (seen IN ('joined', 'orphan')),
      PRIMARY KEY (grant_id, link)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO fingerprints_by_link (grant_id, link, fingerprint, seen)
      SELECT grant_id, link, fingerprint, seen FROM fingerprints ORDER BY grant_id, link;
    DROP TABLE fingerprints;
    ALTER TABLE fingerprints_by_link RENAME TO fingerprints;
    CREATE INDEX fingerprints_by_value ON fingerprints (fingerprint);
  `,
} as const;
