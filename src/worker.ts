/**
 * Composition of a worker: what answers requests, over a keeper and a store that are in its parent. The crew of `app.ts`
 * runs this file, and nobody else; what a worker must know comes with its order.
 */
import { apiKeys } from './access/api-keys.ts';
import { catalogue } from './catalogue/catalogue.ts';
import type { HttpParts } from './http/parts.ts';
import { buildServer } from './http/server.ts';
import { createIssuer } from './issuer/issuer.ts';
import { Link } from './workers/link.ts';
import type { FromParent, FromWorker } from './workers/messages.ts';
import type { Order } from './workers/order.ts';
import { RemoteMetrics, remoteKeeper, remoteOffer, remoteShared } from './workers/remote.ts';
import { fromWire, toWire } from './workers/wire.ts';
import { createAesSealer } from './world/aes-sealer.ts';
import { network } from './world/network.ts';
import { createLog } from './world/pino-log.ts';
import { relay } from './world/relay.ts';
import { RootKey } from './world/root-key.ts';
import { giveBackMemory } from './world/spare-memory.ts';
import { systemClock as clock } from './world/system-clock.ts';
import { systemRandom as random } from './world/system-random.ts';

const link = new Link(clock, send);
/** Closes what was opened; null until it serves. */
let closing: (() => Promise<void>) | null = null;

// Both reach a whole group or container at once. When to end, the parent says; if it is gone, so is this process.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined);

process.on('message', (message: FromParent) => {
  if (message.is === 'order') void begin(fromWire(message.order) as Order);
  else if (message.is === 'stop') void end();
  else link.hear(message);
});

function send(message: FromWorker): void {
  process.send?.(message, undefined, undefined, () => undefined);
}

async function begin(order: Order): Promise<void> {
  try {
    giveBackMemory();
    closing = await serve(order);
    send({ is: 'ready' });
  } catch (error) {
    send({ is: 'failed', error: toWire(error) });
    await end();
  }
}

async function end(): Promise<void> {
  await closing?.();
  process.exit(0);
}

async function serve(order: Order): Promise<() => Promise<void>> {
  await using opened = new AsyncDisposableStack();
  const { allowPrivateUpstream: allowPrivate, http: settings, listen, proxyListen } = order;
  const log = createLog({ level: order.log, worker: order.worker });
  const over = new AbortController();
  void link.keepPinging(over.signal);
  const offer = remoteOffer(link);
  const { records } = offer;
  const store = {
    records,
    watch: link.watch.bind(link),
    heardAgoMs: link.heardAgoMs.bind(link),
  };
  const keeper = remoteKeeper(link, offer, clock);
  const sealer = createAesSealer(new RootKey(order.rootKey), random);
  const own = createIssuer({
    keeper,
    records,
    changes: store,
    sealer,
    network: network({ allowPrivate }),
    clock,
    random,
    log,
    publicUrl: settings.publicUrl,
  });
  opened.defer(() => own.drain());
  const metrics = new RemoteMetrics(offer.metrics, order.metricsType);
  void metrics.keepTelling(clock, over.signal);
  opened.defer(() => metrics.tell().catch(() => undefined));
  const http: Omit<HttpParts, 'surface'> = {
    keeper,
    // What is not asked for all the time, and counts or remembers, is done where it is done for all workers.
    issuer: { ...own, ...offer.issuer, clients: offer.clients, authorize: { ...own.authorize, ...offer.authorize } },
    catalogue: catalogue({ ...order.providers, now: () => clock.now() }),
    apiKeys: apiKeys({ store, random, clock, adminKey: order.adminKey }),
    records,
    sealer,
    clock,
    random,
    log,
    settings,
    shared: remoteShared(link, offer, metrics),
    relay: opened.adopt(relay({ allowPrivate }), (one) => one.close()),
  };
  const surface = proxyListen === null ? 'all' : 'no-proxy';
  const server = opened.adopt(await buildServer({ ...http, surface }), (one) => one.close());
  await server.listen(listen);
  if (proxyListen) {
    const proxy = opened.adopt(await buildServer({ ...http, surface: 'proxy' }), (one) => one.close());
    await proxy.listen(proxyListen);
  }
  const all = opened.move();
  return () => all.disposeAsync();
}
