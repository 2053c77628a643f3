/**
 * A PostgreSQL server for three nodes, each behind a wire of its own that can fail. The database's clock jumps with the
 * world: a function of that name stands before the system's, and leases that last go along, for they end by real time.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type FaultProxy, faultProxy } from '../support/fault-proxy.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';

const CLOCK = `
  CREATE SCHEMA chaos;
  CREATE TABLE chaos.clock (ahead interval NOT NULL);
  INSERT INTO chaos.clock VALUES ('0');
  CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS 'SELECT pg_catalog.clock_timestamp() + (SELECT ahead FROM chaos.clock)';`;
const TRIES = 20;

export interface Cluster extends AsyncDisposable {
  readonly server: TestPostgres;
  readonly wires: readonly FaultProxy[];
  /** The clock of the database, and what its leases are measured by, goes ahead. */
  jump(ms: number): Promise<void>;
}

export async function startCluster(nodes: number): Promise<Cluster> {
  await using opened = new AsyncDisposableStack();
  const server = opened.use(await startPostgres());
  const url = await server.freshDatabase();
  const ask = async (...statements: readonly string[]): Promise<void> => {
    const client = new pg.Client({ connectionString: url });
    // A server that goes away says so here too; the query tells.
    client.on('error', () => undefined);
    await client.connect();
    try {
      for (const one of statements) await client.query(one);
    } finally {
      await client.end().catch(() => undefined);
    }
  };
  const name = new URL(url).pathname.slice(1);
  await ask(CLOCK, `ALTER DATABASE ${name} SET search_path = public, pg_catalog`);
  const wires: FaultProxy[] = [];
  for (let i = 0; i < nodes; i++) wires.push(opened.use(await faultProxy(url)));
  const kept = opened.move();
  return {
    server,
    wires,
    async jump(ms) {
      const by = `interval '${Math.round(ms)} milliseconds'`;
      const leases = `UPDATE evergrant_nodes SET lease_until = lease_until + ${by} WHERE lease_until > clock_timestamp()`;
      for (let left = TRIES; ; left--) {
        try {
          await ask('BEGIN', leases, `UPDATE chaos.clock SET ahead = ahead + ${by}`, 'COMMIT');
          return;
        } catch (error) {
          if (left === 0) throw error;
          await sleep(250);
        }
      }
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}
