/**
 * Chains in PostgreSQL. Appends that wait at the same time go together in one transaction of five round trips: begin,
 * lock the chains, look what is known of links and leases, write everything, commit. Reads that wait go together too.
 */
import { type Chain, type ChainEventWithoutAnswer, type ChainState, EMPTY_CHAIN } from '../../core/chain.ts';
import type { GrantId, LinkId, NodeId } from '../../core/id.ts';
import type { Instant } from '../../core/instant.ts';
import type { Sealed } from '../../core/secret.ts';
import type { Appended, Chains, Conflict, StoredChain } from '../../ports/store.ts';
import { linkOf, PASSING_KEPT, type Seen } from '../fold.ts';
import { inBatches } from './batches.ts';
import type { Telling } from './changes.ts';
import { type Database, integer, Overtaken, type Query, type Row, sqlState, text } from './database.ts';
import { type Append, type ChainChange, chainRow, foldBatch, type Known, linkKey } from './fold-batch.ts';

/** A batch that waits for its commit leaves room for the next one to be made. */
const BATCHES_AT_ONCE = 3;
const BATCH_SIZE = 128;

/** Exported for the test that looks at their plans. */
export const CHAIN_SQL = {
  read: 'SELECT grant_id, version, chain FROM evergrant_chains WHERE grant_id = ANY ($1::text[])',
  lock: `SELECT grant_id, version, due_at, chain FROM evergrant_chains WHERE grant_id = ANY ($1::text[])
    ORDER BY grant_id FOR UPDATE`,
  // Leases by the clock of now, not of when the transaction began: it may have waited for its locks.
  known: `SELECT f.grant_id AS name, f.link AS of, f.seen AS is
      FROM evergrant_fingerprints f JOIN unnest($1::text[], $2::text[]) AS asked (grant_id, link) USING (grant_id, link)
    UNION ALL
    SELECT id, NULL, run FROM evergrant_nodes WHERE id = ANY ($3::text[]) AND lease_until > clock_timestamp()`,
  write: `WITH
    rows AS (
      SELECT * FROM unnest($1::text[], $2::boolean[], $3::bigint[], $4::text[], $5::boolean[], $6::bigint[], $7::text[])
        AS r (grant_id, is_there, version, state, unsettled, due_at, chain)
    ),
    updated AS (
      UPDATE evergrant_chains c
      SET version = r.version, state = r.state, unsettled = r.unsettled, due_at = r.due_at, chain = r.chain
      FROM rows r WHERE c.grant_id = r.grant_id AND r.is_there
    ),
    inserted AS (
      INSERT INTO evergrant_chains (grant_id, version, state, unsettled, due_at, chain)
      SELECT grant_id, version, state, unsettled, due_at, chain FROM rows WHERE NOT is_there ORDER BY grant_id
      ON CONFLICT (grant_id) DO NOTHING
      RETURNING grant_id
    ),
    recorded AS (
      INSERT INTO evergrant_chain_events (grant_id, version, event, passing)
      SELECT e.* FROM unnest($8::text[], $9::bigint[], $10::text[], $23::boolean[])
        AS e (grant_id, version, event, passing)
      -- not of a chain that somebody else began meanwhile
      WHERE e.grant_id IN (SELECT grant_id FROM rows WHERE is_there UNION ALL SELECT grant_id FROM inserted)
    ),
    wiped AS (
      DELETE FROM evergrant_answers a USING unnest($11::text[], $12::text[]) AS w (grant_id, link)
      WHERE a.grant_id = w.grant_id AND a.link = w.link
    ),
    wiped_all AS (
      DELETE FROM evergrant_answers a WHERE a.grant_id = ANY ($13::text[]) AND NOT EXISTS (
        SELECT FROM unnest($14::text[], $15::text[]) AS k (grant_id, link)
        WHERE k.grant_id = a.grant_id AND k.link = a.link
      )
    ),
    kept AS (
      INSERT INTO evergrant_answers (grant_id, link, sealed)
      SELECT * FROM unnest($14::text[], $15::text[], $16::text[])
      ON CONFLICT (grant_id, link) DO UPDATE SET sealed = excluded.sealed
    ),
    held AS (
      INSERT INTO evergrant_fingerprints (grant_id, link, fingerprint, seen)
      SELECT * FROM unnest($17::text[], $18::text[], $19::text[], $20::text[])
      ON CONFLICT (grant_id, link) DO UPDATE SET fingerprint = excluded.fingerprint, seen = excluded.seen
    )
    SELECT (SELECT count(*) FROM inserted) AS inserted, (SELECT count(*) FROM rows WHERE NOT is_there) AS wanted,
      (SELECT count(pg_notify($21, told)) FROM unnest($22::text[]) AS told) AS told`,
  // The start that is not too far back: what came of an attempt follows soon.
  pass: `UPDATE evergrant_chain_events e SET passing = true
    FROM unnest($1::text[], $2::bigint[], $3::text[]) AS p (grant_id, version, attempt)
    WHERE e.grant_id = p.grant_id AND e.version = (
      SELECT max(s.version) FROM evergrant_chain_events s
      WHERE s.grant_id = p.grant_id AND s.version > p.version - 64 AND s.version < p.version
        AND s.event::jsonb ->> 'type' = 'started' AND s.event::jsonb ->> 'id' = p.attempt)`,
  prune: `DELETE FROM evergrant_chain_events e USING unnest($1::text[]) AS g (grant_id)
    WHERE e.grant_id = g.grant_id AND e.passing AND e.version <= (
      SELECT s.version FROM evergrant_chain_events s WHERE s.grant_id = g.grant_id AND s.passing
      ORDER BY s.version DESC LIMIT 1 OFFSET $2)`,
  answers: `SELECT a.grant_id, a.link, a.sealed FROM evergrant_answers a
    JOIN unnest($1::text[], $2::text[]) AS asked (grant_id, link) USING (grant_id, link)`,
  holders: 'SELECT grant_id, link FROM evergrant_fingerprints WHERE fingerprint = $1 ORDER BY grant_id, link',
  history: `SELECT version, event FROM evergrant_chain_events WHERE grant_id = $1 AND version < $2
    ORDER BY version DESC LIMIT $3`,
  unsettled: 'SELECT grant_id FROM evergrant_chains WHERE unsettled ORDER BY grant_id',
  due: 'SELECT grant_id, due_at FROM evergrant_chains WHERE due_at <= $1 ORDER BY due_at, grant_id LIMIT $2',
  reschedule: 'UPDATE evergrant_chains SET due_at = $3 WHERE grant_id = $1 AND version = $2 AND version > 0',
  count: 'SELECT state, count(*) AS grants FROM evergrant_chains WHERE listed GROUP BY state',
} as const;

export function chainsIn(db: Database, telling: Telling): Chains {
  const batching = { atOnce: BATCHES_AT_ONCE, size: BATCH_SIZE };
  const append = inBatches({ ...batching, keyOf: (one: Append) => one.grant }, (appends) =>
    appendAll(db, telling, appends),
  );
  const read = inBatches(batching, (grants: readonly GrantId[]) => readAll(db.query, grants));
  const answer = inBatches(batching, (asked: readonly Asked[]) => answersOf(db.query, asked));
  return {
    read,
    append: (grant, expected, event, dueOf) => append({ grant, expected, event, dueOf }),
    answer: (grant, link) => answer({ grant, link }),
    holders: async (fingerprint) =>
      (await db.query(CHAIN_SQL.holders, [fingerprint])).map((row) => ({
        grant: grantOf(row),
        link: text(row, 'link') as LinkId,
      })),
    async history(grant, { limit, after }) {
      const before = after === null ? Number.MAX_SAFE_INTEGER : Number(after);
      const rows = await db.query(CHAIN_SQL.history, [grant, before, limit + 1]);
      const items = rows.slice(0, limit).map((row) => ({
        version: integer(row, 'version'),
        event: JSON.parse(text(row, 'event')) as ChainEventWithoutAnswer,
      }));
      return { items, next: rows.length > limit ? String(items.at(-1)?.version) : null };
    },
    unsettled: async () => (await db.query(CHAIN_SQL.unsettled)).map(grantOf),
    due: async (by, limit) =>
      (await db.query(CHAIN_SQL.due, [by, limit])).map((row) => ({
        grant: grantOf(row),
        at: integer(row, 'due_at') as Instant,
      })),
    async reschedule(grant, expected, at) {
      await db.transaction((query) => query(CHAIN_SQL.reschedule, [grant, expected, at]));
    },
    count: async () =>
      Object.fromEntries(
        (await db.query(CHAIN_SQL.count)).map((row) => [text(row, 'state') as ChainState, integer(row, 'grants')]),
      ),
  };
}

type Outcomes = readonly PromiseSettledResult<Appended | Conflict>[];

/** All in one transaction; where the database refuses that, each in its own, so that the one at fault fails alone. */
async function appendAll(db: Database, telling: Telling, appends: readonly Append[]): Promise<Outcomes> {
  try {
    return await db.transaction((query) => appendIn(query, telling, appends));
  } catch (error) {
    if (appends.length === 1 || !isRefused(error)) throw error;
  }
  const outcomes: PromiseSettledResult<Appended | Conflict>[] = [];
  for (const append of appends) {
    outcomes.push(
      ...(await Promise.allSettled([db.transaction((query) => appendIn(query, telling, [append]))])).map(only),
    );
  }
  return outcomes;
}

function only(outcome: PromiseSettledResult<Outcomes>): PromiseSettledResult<Appended | Conflict> {
  if (outcome.status === 'rejected') return outcome;
  const [first] = outcome.value;
  if (!first) throw new Error('An append has no outcome');
  return first;
}

/** One of the events is at fault, or a lock that one of the chains is under; not the server as a whole. */
function isRefused(error: unknown): boolean {
  const state = sqlState(error);
  return error instanceof Overtaken || (state !== null && /^(22|23|40|54|55|57014)/.test(state));
}

async function appendIn(query: Query, telling: Telling, appends: readonly Append[]): Promise<Outcomes> {
  const known = await knownOf(query, appends);
  const { outcomes, changes } = foldBatch(appends, known);
  if (changes.length > 0) await write(query, telling, changes);
  return outcomes;
}

async function knownOf(query: Query, appends: readonly Append[]): Promise<Known> {
  const grants = [...new Set(appends.map(({ grant }) => grant))];
  const rows = await query(CHAIN_SQL.lock, [grants]);
  const chains = new Map(
    rows.map((row) => [
      grantOf(row),
      { ...storedIn(row), dueAt: row.due_at === null ? null : (integer(row, 'due_at') as Instant) },
    ]),
  );
  const asked = appends.flatMap(({ grant, event }) => {
    const link = linkOf(event);
    return link === null ? [] : [{ grant, link }];
  });
  const nodes = appends.flatMap(({ event }) => (event.type === 'started' ? [event.node] : []));
  const seen = new Map<string, Seen>();
  const leases = new Map<NodeId, string>();
  if (asked.length + nodes.length === 0) return { chains, seen, leases };
  const links = [asked.map((one) => one.grant), asked.map((one) => one.link)] as const;
  for (const row of await query(CHAIN_SQL.known, [...links, [...new Set(nodes)]])) {
    if (row.of === null) leases.set(text(row, 'name'), text(row, 'is'));
    else seen.set(linkKey(text(row, 'name') as GrantId, text(row, 'of') as LinkId), text(row, 'is') as Seen);
  }
  const unbegun = asked.filter((one) => !chains.has(one.grant) && seen.has(askedKey(one))).map(({ grant }) => grant);
  // Known links of a chain without a row: the grant was removed, or the row came after the look for it.
  if (unbegun.length > 0 && (await query(CHAIN_SQL.read, [unbegun])).length > 0) throw begunMeanwhile();
  return { chains, seen, leases };
}

/** A row that is not there cannot be locked. */
function begunMeanwhile(): Overtaken {
  return new Overtaken('A chain was begun by two at once');
}

async function write(query: Query, telling: Telling, changes: readonly ChainChange[]): Promise<void> {
  const chains = changes.map(chainRow).filter((row) => row !== null);
  const events = changes.flatMap(({ grant, events: all }) => all.map((one) => ({ grant, ...one })));
  const wiped = changes.flatMap(({ grant, wiped: links, wipesAll, answers: kept }) =>
    wipesAll ? [] : [...links].filter((link) => !kept.has(link)).map((link) => ({ grant, link })),
  );
  const wipedAll = changes.filter((one) => one.wipesAll).map((one) => one.grant);
  const answers = changes.flatMap(({ grant, answers: all }) =>
    [...all].map(([link, sealed]) => ({ grant, link, sealed })),
  );
  const held = changes.flatMap(({ grant, holders }) => [...holders.values()].map((one) => ({ grant, ...one })));
  const [row] = await query(CHAIN_SQL.write, [
    chains.map((one) => one.grant),
    chains.map((one) => one.isThere),
    chains.map((one) => one.version),
    chains.map((one) => one.state),
    chains.map((one) => one.unsettled),
    chains.map((one) => one.dueAt),
    chains.map((one) => one.chain),
    events.map((one) => one.grant),
    events.map((one) => one.version),
    events.map((one) => one.event),
    wiped.map((one) => one.grant),
    wiped.map((one) => one.link),
    wipedAll,
    answers.map((one) => one.grant),
    answers.map((one) => one.link),
    answers.map((one) => one.sealed),
    held.map((one) => one.grant),
    held.map((one) => one.link),
    held.map((one) => one.fingerprint),
    held.map((one) => one.seen),
    telling.channel,
    telling.messages(chains.map((one) => ({ kind: 'chain', id: one.grant }))),
    events.map((one) => one.isPassing),
  ]);
  if (integer(row, 'inserted') !== integer(row, 'wanted')) throw begunMeanwhile();
  await prune(query, changes);
}

/** Attempts of which nothing came are told of for a while. */
async function prune(query: Query, changes: readonly ChainChange[]): Promise<void> {
  const passed = changes.flatMap(({ grant, passed: all }) => all.map((one) => ({ grant, ...one })));
  if (passed.length === 0) return;
  const attempts = passed.filter((one) => one.attempt !== null);
  if (attempts.length > 0) {
    const columns = [attempts.map((one) => one.grant), attempts.map((one) => one.version)];
    await query(CHAIN_SQL.pass, [...columns, attempts.map((one) => one.attempt)]);
  }
  await query(CHAIN_SQL.prune, [[...new Set(passed.map((one) => one.grant))], PASSING_KEPT]);
}

async function readAll(
  query: Query,
  grants: readonly GrantId[],
): Promise<readonly PromiseSettledResult<StoredChain>[]> {
  const rows = new Map((await query(CHAIN_SQL.read, [grants])).map((row) => [grantOf(row), row]));
  return grants.map((grant) => {
    const row = rows.get(grant);
    return { status: 'fulfilled', value: row ? storedIn(row) : { version: 0, chain: EMPTY_CHAIN } };
  });
}

interface Asked {
  readonly grant: GrantId;
  readonly link: LinkId;
}

function askedKey({ grant, link }: Asked): string {
  return linkKey(grant, link);
}

async function answersOf(
  query: Query,
  asked: readonly Asked[],
): Promise<readonly PromiseSettledResult<Sealed | null>[]> {
  const rows = await query(CHAIN_SQL.answers, [asked.map((one) => one.grant), asked.map((one) => one.link)]);
  const found = new Map(
    rows.map((row) => [linkKey(grantOf(row), text(row, 'link') as LinkId), text(row, 'sealed') as Sealed]),
  );
  return asked.map((one) => ({ status: 'fulfilled', value: found.get(askedKey(one)) ?? null }));
}

function grantOf(row: Row): GrantId {
  return text(row, 'grant_id') as GrantId;
}

/** Version 0 is a grant to which nothing happened yet. */
function storedIn(row: Row): StoredChain {
  const version = integer(row, 'version');
  return { version, chain: version === 0 ? EMPTY_CHAIN : (JSON.parse(text(row, 'chain')) as Chain) };
}
