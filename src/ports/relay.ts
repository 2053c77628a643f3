/**
 * Requests to a provider's API on behalf of a caller, as streams in both directions. Unlike `ports/network`, connections
 * are kept and used again: nothing that is sent here could be spent by being sent twice.
 */
import type { Readable } from 'node:stream';
import type { Lost, NotSent, Reach } from './network.ts';

export interface RelayRequest {
  readonly method: string;
  /** Scheme, host and port. */
  readonly origin: string;
  /** Path and query, sent as they are. */
  readonly path: string;
  readonly reach: Reach;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Readable | Uint8Array | null;
  /** Gives up: the connection is closed, whatever is under way. */
  readonly signal: AbortSignal;
}

export interface RelayAnswer {
  readonly kind: 'answer';
  readonly status: number;
  /** Lower-case names; repeated ones as a list. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** To be read, or destroyed. Fails when the connection ends too early. */
  readonly body: Readable;
}

export interface Relay {
  /** Sends once and follows no redirect. Never rejects. */
  send(request: RelayRequest): Promise<RelayAnswer | NotSent | Lost>;
  /** Ends everything that is under way. */
  close(): Promise<void>;
}
