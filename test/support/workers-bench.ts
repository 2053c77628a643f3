/**
 * A parent and its workers on a bench: real keeper, real issuers, and links whose messages cross as they do between
 * processes, each one copied and in order. The parent can be made to hang.
 */
import { deserialize, serialize } from 'node:v8';
import { apiKeys } from '../../src/access/api-keys.ts';
import { Secret } from '../../src/core/secret.ts';
import { sharedState } from '../../src/http/shared.ts';
import { createMemoryStore } from '../../src/storage/memory/store.ts';
import { announcing } from '../../src/workers/announcing.ts';
import { Link } from '../../src/workers/link.ts';
import type { FromParent, FromWorker } from '../../src/workers/messages.ts';
import { type Common, ParentEnd } from '../../src/workers/parent-end.ts';
import { RemoteMetrics, remoteKeeper, remoteOffer, remoteShared } from '../../src/workers/remote.ts';
import { endOfTurn } from '../../src/world/event-loop.ts';
import { systemRandom } from '../../src/world/system-random.ts';
import { issuerOn } from './issuer-bench.ts';
import { type Bench, bench } from './keeper-bench.ts';

export const ADMIN_KEY = 'admin-key-of-the-tests-0123456789abcdef';

/** One end of a channel: what is sent arrives as a copy, after everything that is ready now. */
function channel<M>(arrive: (message: M) => void, isOpen: () => boolean): { send(message: M): void; flow(): void } {
  const waiting: Buffer[] = [];
  const flow = (): void => {
    if (!isOpen()) return;
    for (const message of waiting.splice(0)) arrive(deserialize(message) as M);
  };
  return {
    send(message) {
      waiting.push(serialize(message));
      setImmediate(flow);
    },
    flow,
  };
}

export async function workersBench() {
  const announced = announcing(createMemoryStore());
  const world = await bench({ store: announced.store });
  const { clock } = world;
  const parent = issuerOn(world, { changes: announced.changes });
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const common: Common = {
    keeper: world.keeper,
    issuer: parent.issuer,
    shared: sharedState({ keeper: world.keeper, issuer: parent.issuer, log }),
    announcing: announced,
    clock,
    log,
    endOfTurn,
    doubted: new Map(),
  };
  let isParentHung = false;
  const flows: (() => void)[] = [];
  const stop = new AbortController();

  async function worker() {
    /** The names of all that this worker asked its parent for. */
    const asked: string[] = [];
    const toWorker = channel<FromParent>(
      (message) => link.hear(message),
      () => true,
    );
    const end = new ParentEnd(common, (message) => toWorker.send(message));
    const toParent = channel<FromWorker>(
      (message) => end.hear(message),
      () => !isParentHung,
    );
    flows.push(toParent.flow);
    const link = new Link(clock, (message) => {
      if (message.is === 'ask') asked.push(message.name);
      toParent.send(message);
    });
    void link.keepPinging(stop.signal);
    const offer = remoteOffer(link);
    const keeper = remoteKeeper(link, offer, clock);
    const changes = { watch: link.watch.bind(link), heardAgoMs: link.heardAgoMs.bind(link) };
    const store = { records: offer.records, ...changes };
    const metrics = new RemoteMetrics(offer.metrics, common.shared.metrics.contentType);
    await clock.advance(0);
    return {
      asked,
      offer,
      keeper,
      link,
      end,
      clients: issuerOn({ ...world, keeper } as unknown as Bench, { records: offer.records, changes }),
      apiKeys: apiKeys({ store, random: systemRandom, clock, adminKey: new Secret('api key', ADMIN_KEY) }),
      shared: remoteShared(link, offer, metrics),
      metrics,
      /** Asks for a thing by any name. */
      ask: (name: string, ...given: unknown[]) => link.ask(name, given),
    };
  }

  return {
    world,
    clock,
    parent,
    announced,
    workers: [await worker(), await worker()] as const,
    /** As by SIGSTOP: what is sent to it waits. */
    hang(): void {
      isParentHung = true;
    },
    async goOn(): Promise<void> {
      isParentHung = false;
      for (const flow of flows) flow();
      await clock.advance(0);
    },
    [Symbol.dispose]: () => stop.abort(),
  };
}
