/**
 * Several nodes on a bench: real keepers, each with its own journal, on one shared store in memory and one upstream, on
 * one clock that stands still. A node can die at any moment, stand still for a while, and come back.
 */
import { POLICIES } from '../../src/core/policies.fixture.ts';
import type { RotationPolicy } from '../../src/core/rotation-policy.ts';
import { Secret } from '../../src/core/secret.ts';
import { createKeeper } from '../../src/keeper/create-keeper.ts';
import type { App, Keeper } from '../../src/keeper/keeper.ts';
import type { ExchangeStep } from '../../src/keeper/parts.ts';
import type { Log } from '../../src/ports/log.ts';
import type { Instant } from '../../src/core/instant.ts';
import type { Chains, Change, Nodes, Records, Store } from '../../src/ports/store.ts';
import { createMemoryStore } from '../../src/storage/memory/store.ts';
import { createAesSealer } from '../../src/world/aes-sealer.ts';
import { RootKey } from '../../src/world/root-key.ts';
import { systemRandom } from '../../src/world/system-random.ts';
import { testProvider } from './keeper-bench.ts';
import { MemoryJournal } from './memory-journal.ts';
import { ScriptedUpstream } from './scripted-upstream.ts';
import { VirtualClock } from './virtual-clock.ts';

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
const NEVER = new Promise<never>(() => undefined);

export interface BenchNode {
  readonly id: string;
  keeper: Awaited<ReturnType<typeof createKeeper>>;
  readonly journal: MemoryJournal;
  /** From now on nothing of this run has any effect, and nothing that it waits for comes. */
  die(): void;
  /** A new run on what the old one left. */
  restart(): Promise<void>;
  /** Its store calls wait until `wake`. */
  freeze(): void;
  wake(): void;
  /** It dies at a call of store or network: after so many more of them, before or after the effect. Null: at none. */
  callsLeft: number | null;
  effect: 'before' | 'after';
  /** When the answer to a call of the store that was made comes, for calls such as `chains.read`. */
  onAnswered: ((call: string) => Promise<void> | undefined) | undefined;
  /** Called at each step of its exchanges. */
  onStep: ((step: ExchangeStep) => void | Promise<void>) | undefined;
}

export interface ClusterBench {
  readonly clock: VirtualClock;
  readonly upstream: ScriptedUpstream;
  readonly store: RestorableStore;
  readonly app: App;
  readonly nodes: readonly [BenchNode, BenchNode, BenchNode];
  imported(alias?: string): Promise<void>;
}

export async function clusterBench(policy: RotationPolicy = POLICIES.exact): Promise<ClusterBench> {
  const clock = new VirtualClock();
  const upstream = new ScriptedUpstream();
  const store = restorableStore(() => clock.now());
  const provider = testProvider(policy);
  const sealer = createAesSealer(new RootKey(new Uint8Array(32).fill(7)), systemRandom);

  async function node(id: string): Promise<BenchNode> {
    const journal = new MemoryJournal();
    let runs = 0;
    // Of the node from the outside; there before its first keeper is.
    const plan: Pick<BenchNode, 'callsLeft' | 'effect' | 'onAnswered' | 'onStep'> = {
      callsLeft: null,
      effect: 'before',
      onAnswered: undefined,
      onStep: undefined,
    };
    let life = { isOver: false, frozen: null as PromiseWithResolvers<void> | null };
    const start = () => {
      const own = { isOver: false, frozen: null as PromiseWithResolvers<void> | null };
      life = own;
      const through = async <T>(work: () => Promise<T>): Promise<T> => {
        if (own.frozen) await own.frozen.promise;
        const isLast = plan.callsLeft === 0;
        if (plan.callsLeft !== null && own === life) plan.callsLeft--;
        if (isLast && plan.effect === 'before') own.isOver = true;
        if (own.isOver) return NEVER;
        const result = await work();
        if (isLast) own.isOver = true;
        return own.isOver ? NEVER : result;
      };
      return createKeeper({
        store: behind(store, through, (call) => plan.onAnswered?.(call)),
        journal,
        sealer,
        clock: {
          now: () => clock.now(),
          moment: () => ({ ...clock.moment(), boot: id }),
          sleep: (ms, signal) => through(() => clock.sleep(ms, signal)),
        },
        random: systemRandom,
        log: silent,
        network: {
          open: (url) =>
            through(async () => {
              const connection = await upstream.open(url);
              if (connection.kind === 'not_sent') return connection;
              return { ...connection, send: (request, ms) => through(() => connection.send(request, ms)) };
            }),
        },
        catalogue: { get: () => provider, ids: () => [provider.id], list: () => [provider] },
        node: id,
        folder: id,
        run: `${id}-run-${++runs}`,
        publicUrl: 'http://127.0.0.1:8787',
        onStep: (step) => through(async () => plan.onStep?.(step)),
      });
    };
    const made = Object.assign(plan, {
      id,
      journal,
      keeper: await start(),
      die() {
        life.isOver = true;
      },
      async restart() {
        life.isOver = true;
        plan.onStep = undefined;
        plan.callsLeft = null;
        made.keeper = await clock.until(start());
      },
      freeze() {
        life.frozen = Promise.withResolvers<void>();
      },
      wake() {
        life.frozen?.resolve();
        life.frozen = null;
      },
    });
    return made;
  }

  const nodes = [await node('node-1'), await node('node-2'), await node('node-3')] as const;
  const app = await nodes[0].keeper.apps.create({
    provider: provider.id,
    clientId: 'client',
    clientSecret: new Secret('client secret', 'client-secret'),
  });
  return {
    clock,
    upstream,
    store,
    app,
    nodes,
    async imported(alias = 'eol') {
      await nodes[0].keeper.grants.import({
        app: app.id,
        alias,
        refreshToken: new Secret('refresh token', `rt-0-${alias}`),
        accessToken: new Secret('access token', `at-0-${alias}`),
        expiresInMs: 600_000,
        obtainedAt: clock.now(),
        takeover: false,
      });
    },
  };
}

/** One more keeper on this store, under an id and in a folder of the caller's choice. */
export function startedOn(store: Store, node: string, folder: string): Promise<Keeper> {
  const clock = new VirtualClock();
  return createKeeper({
    store,
    journal: new MemoryJournal(),
    sealer: createAesSealer(new RootKey(new Uint8Array(32).fill(7)), systemRandom),
    clock,
    random: systemRandom,
    log: silent,
    network: new ScriptedUpstream(),
    catalogue: { get: () => null, ids: () => [], list: () => [] },
    node,
    folder,
    run: 'another-run',
    publicUrl: 'http://127.0.0.1:8787',
  });
}

export interface RestorableStore extends Store {
  /** The connection over which changes are told was lost for a moment. */
  unsure(): void;
  backup(): void;
  /** Goes back to the backup while the nodes run, as an operator may do with a database; all connections break. */
  restore(): Promise<void>;
}

/** A shared store in memory that keeps a log of what was written, and can be made anew from its beginning. */
function restorableStore(now: () => Instant): RestorableStore {
  type Write = readonly [half: 'chains' | 'records' | 'nodes', name: string, given: readonly unknown[], at: Instant];
  let log: Write[] = [];
  let kept = 0;
  let replayedAt: Instant | null = null;
  const listeners = new Set<(change: Change) => void>();
  const fresh = (): Store => {
    const made = createMemoryStore({ now: () => replayedAt ?? now() });
    made.watch((change) => {
      for (const listener of listeners) listener(change);
    });
    return made;
  };
  let current = fresh();
  const call = (half: Write[0], name: string, given: readonly unknown[]): Promise<unknown> => {
    const port = current[half] as unknown as Record<string, (...given: readonly unknown[]) => Promise<unknown>>;
    return port[name]?.(...given) ?? Promise.reject(new Error(name));
  };
  const half = <P extends object>(which: Write[0], port: P): P =>
    Object.fromEntries(
      Object.keys(port).map((name) => [
        name,
        (...given: unknown[]) => {
          log.push([which, name, given, now()]);
          return call(which, name, given);
        },
      ]),
    ) as P;
  return {
    chains: half('chains', current.chains),
    records: half('records', current.records),
    nodes: half('nodes', current.nodes),
    isShared: true,
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    heardAgoMs: () => current.heardAgoMs(),
    check: () => current.check(),
    close: () => current.close(),
    unsure() {
      for (const listener of listeners) listener({ kind: 'unsure' });
    },
    backup() {
      kept = log.length;
    },
    async restore() {
      log = log.slice(0, kept);
      current = fresh();
      for (const [which, name, given, at] of log) {
        replayedAt = at;
        await call(which, name, given).catch(() => undefined);
      }
      replayedAt = null;
      for (const listener of listeners) listener({ kind: 'unsure' });
    },
  };
}

type Through = <T>(work: () => Promise<T>) => Promise<T>;

/** Every call of the store goes through the wall of a run; its answer comes when `answered` resolves. */
function behind(store: Store, through: Through, answered: (call: string) => Promise<void> | undefined): Store {
  const walled = <P extends Chains | Records | Nodes>(half: string, port: P): P =>
    new Proxy(port, {
      get: (target, name) => {
        const call = Reflect.get(target, name) as (...given: unknown[]) => Promise<unknown>;
        return (...given: unknown[]) =>
          through(() => {
            const answer = call.apply(target, given);
            const late = answered(`${half}.${String(name)}`);
            return late ? late.then(() => answer) : answer;
          });
      },
    });
  return {
    chains: walled('chains', store.chains),
    records: walled('records', store.records),
    nodes: walled('nodes', store.nodes),
    isShared: true,
    watch: (listener) => store.watch(listener),
    heardAgoMs: () => store.heardAgoMs(),
    check: () => through(() => store.check()),
    close: () => store.close(),
  };
}
