/** What every file of this room works with. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { ApiKeys, Caller, Scope } from '../access/api-keys.ts';
import type { Catalogue } from '../catalogue/provider.ts';
import type { Issuer } from '../issuer/issuer.ts';
import type { ServingKeeper } from '../keeper/keeper.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Random } from '../ports/random.ts';
import type { Relay } from '../ports/relay.ts';
import type { Sealer } from '../ports/sealer.ts';
import type { Records } from '../ports/store.ts';
import type { ArrivalLimits } from './arrival.ts';
import type { Reservation } from './idempotency.ts';
import type { Shared } from './shared.ts';

export interface HttpParts {
  readonly keeper: ServingKeeper;
  /** Our authorization server for clients. */
  readonly issuer: Issuer;
  readonly catalogue: Catalogue;
  readonly apiKeys: ApiKeys;
  /** For answers that an `Idempotency-Key` repeats. */
  readonly records: Records;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly settings: HttpSettings;
  readonly shared: Shared;
  /** For the proxy. */
  readonly relay: Relay;
  /** Tests wait for less. */
  readonly arrival?: ArrivalLimits;
  /**
   * `callback`: only the browser's part of an authorization, and health. `proxy`: only the proxy, and health. `no-proxy`:
   * everything else, where the proxy has an origin of its own.
   */
  readonly surface: 'all' | 'callback' | 'proxy' | 'no-proxy';
}

export interface HttpSettings {
  /** Without a slash at its end. Links are made from it and never from a request. */
  readonly publicUrl: string;
  /** Then metrics and descriptions want a key as well. */
  readonly listensBeyondLoopback: boolean;
  /** Addresses or CIDR ranges whose `X-Forwarded-For` is believed. */
  readonly trustedProxies: readonly string[];
  readonly version: string;
  /** Bytes of memory for answers to GET that a provider allows to be kept; 0: none are kept. */
  readonly proxyCacheBytes: number;
}

/** A Fastify server, or a part of one, whose routes are described with zod. */
export type Routes = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>;

declare module 'fastify' {
  interface FastifyRequest {
    /** Set once the API key was checked. */
    caller: Caller | null;
    /** Set where an `Idempotency-Key` guards this request. */
    reservation: Reservation | null;
  }
  interface FastifyContextConfig {
    /** What the caller's key must be allowed to; `admin` where a route does not say. */
    scope?: Scope;
    /** It hands its body on, whatever that is. */
    streamsBody?: boolean;
  }
}
