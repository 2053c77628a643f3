/** What a world stands on, apart from itself: a small disk for SQLite, or PostgreSQL with a wire to each node. */
import { Chance } from '../../src/sim/chance.ts';
import { type Cluster, startCluster } from './cluster.ts';
import { type SmallDisk, smallDisk } from './disk.ts';
import type { WorldOptions } from './world.ts';

interface Ground extends AsyncDisposable {
  readonly place: Pick<WorldOptions, 'nodes' | 'database' | 'dataFolder' | 'jump' | 'machine'>;
  readonly disk: SmallDisk | null;
  readonly cluster: Cluster | null;
}

/** One server on SQLite. */
export async function alone(): Promise<Ground> {
  const disk = smallDisk();
  const place = { nodes: 1, database: null, dataFolder: disk?.path ?? null };
  return { place, disk, cluster: null, [Symbol.asyncDispose]: async () => disk?.close() };
}

const NODES = 3;
const MOST_SKEW_MS = 300_000;

/** Three servers on PostgreSQL, as on three machines whose clocks are minutes apart. */
export async function together(seed: string): Promise<Ground & { readonly cluster: Cluster }> {
  const cluster = await startCluster(NODES);
  const chance = Chance.of('clocks', seed);
  const machines = Array.from({ length: NODES }, (_, i) => ({
    skewMs: chance.between(-MOST_SKEW_MS, MOST_SKEW_MS),
    boot: `machine-${i + 1}`,
  }));
  const place = {
    nodes: NODES,
    database: (node: number) => cluster.wires[node]?.url ?? '',
    dataFolder: null,
    jump: (ms: number, there: readonly string[]) => cluster.jump(ms, there),
    machine: (node: number) => machines[node] ?? { skewMs: 0, boot: null },
  };
  return { place, disk: null, cluster, [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose]() };
}
