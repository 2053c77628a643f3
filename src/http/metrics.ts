/**
 * `/metrics` for Prometheus. No grant, alias, account or secret is ever a label. Tokens served from memory are only
 * counted: measuring each of them would cost more than serving it.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { GRANT_STATES } from './schemas.ts';
import type { HttpParts, Routes } from './parts.ts';

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

export function metrics({ keeper, log }: HttpParts): Metrics {
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

export function metricsRoutes(routes: Routes, all: Metrics): void {
  routes.get('/metrics', { schema: { hide: true } }, async (_, reply) =>
    reply.type(all.contentType).send(await all.text()),
  );
}
