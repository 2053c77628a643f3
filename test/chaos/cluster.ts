/**
 * A PostgreSQL server for three nodes, each behind a wire of its own that can fail. The database's clock jumps with the
 * world: a function of that name stands before the system's. Leases that last go along, for nodes ask for more by real time.
 */
import pg from 'pg';
import { type FaultProxy, faultProxy } from '../support/fault-proxy.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';

const CLOCK = [
  'CREATE SCHEMA chaos',
  'CREATE TABLE chaos.clock (ahead interval NOT NULL)',
  "INSERT INTO chaos.clock VALUES ('0')",
  `CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS 'SELECT pg_catalog.clock_timestamp() + (SELECT ahead FROM chaos.clock)'`,
];
/** A node that stands still may hold a lock; it needs another moment. */
const LOCKED = "SET lock_timeout = '500ms'";

export interface Cluster extends AsyncDisposable {
  readonly server: TestPostgres;
  readonly wires: readonly FaultProxy[];
  /** The clock of the database goes ahead, and the leases of the nodes that are there with it; rejects where it is locked or away. */
  jump(ms: number, there: readonly string[]): Promise<void>;
  /** How long the lease of a node lasts, by the database's clock. */
  leaseLeftMs(node: string): Promise<number>;
}

export async function startCluster(nodes: number): Promise<Cluster> {
  await using opened = new AsyncDisposableStack();
  const server = opened.use(await startPostgres());
  const url = await server.freshDatabase();
  /** Gives the first column of the last one's first row. */
  const ask = async (...statements: readonly string[]): Promise<unknown> => {
    const client = new pg.Client({ connectionString: url });
    // A server that goes away says so here too; the query tells.
    client.on('error', () => undefined);
    await client.connect();
    try {
      let answer: unknown = null;
      for (const text of statements) answer = (await client.query({ text, rowMode: 'array' })).rows[0]?.[0];
      return answer;
    } finally {
      await client.end().catch(() => undefined);
    }
  };
  const name = new URL(url).pathname.slice(1);
  await ask(...CLOCK, `ALTER DATABASE ${name} SET search_path = public, pg_catalog`);
  const wires: FaultProxy[] = [];
  for (let i = 0; i < nodes; i++) wires.push(opened.use(await faultProxy(url)));
  const kept = opened.move();
  return {
    server,
    wires,
    async jump(ms, there) {
      const by = `interval '${Math.round(ms)} milliseconds'`;
      const names = there.map((one) => `'${one}'`).join(', ');
      const leases = `UPDATE evergrant_nodes SET lease_until = lease_until + ${by}
        WHERE lease_until > clock_timestamp() AND id IN (${names})`;
      const clock = `UPDATE chaos.clock SET ahead = ahead + ${by}`;
      await ask(LOCKED, 'BEGIN', ...(there.length > 0 ? [leases] : []), clock, 'COMMIT');
    },
    async leaseLeftMs(node) {
      const left = 'extract(epoch FROM lease_until - clock_timestamp()) * 1000';
      return Number(await ask(`SELECT ${left} FROM evergrant_nodes WHERE id = '${node}'`));
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}
