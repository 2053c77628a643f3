/**
 * Requests to a provider's API on behalf of a caller, as streams in both directions. Unlike `ports/network`, connections
 * are kept and used again: nothing that is sent here could be spent by being sent twice.
 */
import type { Readable, Writable } from 'node:stream';
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
  readonly caller: RelayCaller;
}

/** Who waits for the answer. The relay sets `onGone`, and ends what is under way when it is called. */
export interface RelayCaller {
  isGone: boolean;
  onGone: (() => void) | null;
}

export interface RelayAnswer {
  readonly kind: 'answer';
  readonly status: number;
  /** Lower-case names; repeated ones as a list. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: RelayBody;
}

/** Either given away or thrown away; until then no more than a little of it is read. */
export interface RelayBody {
  /** Writes it there as fast as it is taken, and ends it; destroys it where the answer breaks off. */
  pipeTo(to: Writable): void;
  /** Shows what passes; `end` is called after a whole body alone. */
  watch(watcher: { chunk(bytes: Buffer): void; end(): void }): void;
  discard(): void;
}

export interface Relay {
  /** Sends once and follows no redirect. Never rejects. */
  send(request: RelayRequest): Promise<RelayAnswer | NotSent | Lost>;
  /** Ends everything that is under way. */
  close(): Promise<void>;
}
