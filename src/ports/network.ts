/**
 * Requests to the outside. Opening a connection and sending are two steps, because only the first may fail without
 * any doubt: once a byte of a request may have left, its effect at the other end is unknown until an answer is here.
 */

export interface HttpRequest {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface HttpAnswer {
  readonly kind: 'answer';
  readonly status: number;
  /** Lower-case names; repeated headers joined by a comma. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** False when the connection ended before the whole body had come. */
  readonly complete: boolean;
}

/** The request was not sent: refused, no such name, no TLS, forbidden address. Harmless for every token in it. */
export interface NotSent {
  readonly kind: 'not_sent';
  readonly reason: string;
}

/** The request may have been sent and may have had its effect; no status came back. */
export interface Lost {
  readonly kind: 'lost';
  readonly reason: string;
}

export interface Connection {
  readonly kind: 'connection';
  /** Sends once: no redirect is followed, nothing is repeated. Never rejects. */
  send(request: HttpRequest, timeoutMs: number): Promise<HttpAnswer | NotSent | Lost>;
  close(): void;
}

/** Which addresses a request may reach. `local`: also http and loopback, for providers that an operator added. */
export type Reach = 'public' | 'local';

export interface Network {
  /** Opens a fresh connection (name, TCP, TLS) to the origin of this URL. Never rejects. */
  open(url: string, reach: Reach, timeoutMs: number): Promise<Connection | NotSent>;
}
