/**
 * `/metrics` for Prometheus. No grant, alias, account or secret is ever a label. Tokens served from memory are only
 * counted: measuring each of them would cost more than serving it.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { GRANT_STATES } from './schemas.ts';
import type { Keeper } from '../keeper/keeper.ts';
import type { Log } from '../ports/log.ts';
import type { Routes } from './parts.ts';

export interface Metrics {
  servedFromMemory(): void;
  /** `ok`, or the code of the error. */
  tokenRequest(outcome: string): void;
  /** Everything but tokens served from memory. */
  request(method: string, route: string, status: number, seconds: number): void;
  text(): Promise<string>;
  readonly contentType: string;
}

const DURATIONS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];

export function metrics({ keeper, log }: { readonly keeper: Keeper; readonly log: Log }): Metrics {
  const registry = new Registry();
  let fromMemory = 0;
  let hasProcessMetrics = false;
  grantGauge(registry, async () => {
    try {
      return await keeper.countStates();
    } catch (error) {
      log.warn('grants could not be counted', { error: String(error) });
      return null;
    }
  });
  chainCounters(registry, keeper);
  const tokens = new Counter({
    name: 'evergrant_token_requests_total',
    help: 'Requests for an access token, by outcome: memory, ok (waited for), or the code of the error.',
    labelNames: ['outcome'],
    registers: [registry],
    collect() {
      this.inc({ outcome: 'memory' }, fromMemory);
      fromMemory = 0;
    },
  });
  const durations = new Histogram({
    name: 'evergrant_http_request_duration_seconds',
    help: 'Time to answer a request, without tokens served from memory.',
    labelNames: ['method', 'route', 'status'],
    buckets: DURATIONS,
    registers: [registry],
  });

  return {
    servedFromMemory: () => {
      fromMemory++;
    },
    tokenRequest: (outcome) => tokens.inc({ outcome }),
    request: (method, route, status, seconds) => durations.observe({ method, route, status: String(status) }, seconds),
    async text() {
      // Not before somebody asks: it observes the garbage collector and the event loop from then on.
      if (!hasProcessMetrics) collectDefaultMetrics({ register: registry });
      hasProcessMetrics = true;
      return registry.metrics();
    },
    contentType: registry.contentType,
  };
}

function grantGauge(
  registry: Registry,
  count: () => Promise<Readonly<Partial<Record<string, number>>> | null>,
): Gauge<'state'> {
  return new Gauge({
    name: 'evergrant_grants',
    help: 'Grants by state.',
    labelNames: ['state'],
    registers: [registry],
    async collect() {
      const counts = await count();
      if (!counts) return this.reset();
      for (const state of GRANT_STATES) this.set({ state }, counts[state] ?? 0);
    },
  });
}

/** Breaks per 1,000 authorizations and the mean time to repair are quotients of these. */
function chainCounters(registry: Registry, keeper: Keeper): void {
  const one = (name: string, help: string, count: () => number) =>
    byLabel(registry, name, help, [], () => ({ '': count() }));
  one('evergrant_authorizations_total', 'New chains, by a person or imported.', () => keeper.figures().authorizations);
  one('evergrant_repairs_total', 'Broken chains that are whole again.', () => keeper.figures().repairs.count);
  one(
    'evergrant_repair_seconds_total',
    'Time from break to repair, of all of them together.',
    () => keeper.figures().repairs.tookMs / 1000,
  );
  byLabel(
    registry,
    'evergrant_exchanges_total',
    'Exchanges by outcome.',
    ['outcome'],
    () => keeper.figures().exchanges,
  );
  byLabel(registry, 'evergrant_breaks_total', 'Broken chains by diagnosis.', ['code'], () => keeper.figures().breaks);
  byLabel(
    registry,
    'evergrant_renewal_announcements_total',
    'Ends of authorizations that were announced ahead.',
    ['provider'],
    () => keeper.figures().announcements,
  );
  renewalCounter(registry, keeper);
}

/** How predictable the need of a person is: `announced="no"` is what operators promise to keep rare. */
function renewalCounter(registry: Registry, keeper: Keeper): Counter {
  return new Counter({
    name: 'evergrant_renewals_needed_total',
    help: 'Times that a grant needed a person. announced yes: the date was told ahead; no: it broke out of the blue.',
    labelNames: ['provider', 'announced'],
    registers: [registry],
    collect() {
      this.reset();
      for (const [provider, { announced, unannounced }] of Object.entries(keeper.figures().renewals)) {
        this.inc({ provider, announced: 'yes' }, announced);
        this.inc({ provider, announced: 'no' }, unannounced);
      }
    },
  });
}

function byLabel(
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly string[],
  counts: () => Readonly<Record<string, number | undefined>>,
): Counter {
  const [label] = labelNames;
  return new Counter({
    name,
    help,
    labelNames: [...labelNames],
    registers: [registry],
    collect() {
      this.reset();
      for (const [value, count = 0] of Object.entries(counts())) {
        if (label === undefined) this.inc(count);
        else this.inc({ [label]: value }, count);
      }
    },
  });
}

export function metricsRoutes(routes: Routes, all: Metrics): void {
  routes.get('/metrics', { schema: { hide: true } }, async (_, reply) =>
    reply.type(all.contentType).send(await all.text()),
  );
}
