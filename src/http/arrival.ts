/**
 * How long requests may take to arrive, and answers of the proxy to be taken. Node looks at all connections together, now
 * and then, so that a request costs nothing for it: its head and its whole have so long each. A large body on its way
 * through the proxy, in either direction, may take longer, as long as it moves; those are followed one by one.
 *
 * State: the connections on which such a body is arriving.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../ports/clock.ts';

export interface ArrivalLimits {
  /** For the head of a request, from its first byte or from the opening of the connection. */
  readonly headMs: number;
  /** For the whole of it. */
  readonly wholeMs: number;
  /** How often that is looked at. */
  readonly everyMs: number;
  /** A body that is followed must bring `leastBytes` in each such time, while somebody takes them. */
  readonly strideMs: number;
  readonly leastBytes: number;
  /** Of an answer that streams, the caller must take something in each such time; its connection to the provider is one of few. */
  readonly takenMs: number;
}

export const ARRIVAL: ArrivalLimits = {
  headMs: 15_000,
  wholeMs: 30_000,
  everyMs: 5_000,
  strideMs: 60_000,
  leastBytes: 4_096,
  // What the system holds for a slow line is megabytes, and is not seen to move.
  takenMs: 600_000,
};

export class Arrivals {
  readonly #clock: Clock;
  readonly #limits: ArrivalLimits;
  readonly #followed = new WeakSet<Socket>();

  constructor(clock: Clock, limits: ArrivalLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Lets a body take its time as long as it moves, and ends its connection when it does not. */
  follow(request: IncomingMessage): void {
    const { socket } = request;
    const over = new AbortController();
    this.#followed.add(socket);
    request.once('close', () => {
      this.#followed.delete(socket);
      over.abort();
    });
    void this.#watch(request, over.signal);
  }

  /** Ends an answer that nobody takes. */
  followAnswer(answer: ServerResponse): void {
    if (answer.writableEnded) return;
    const over = new AbortController();
    answer.once('close', () => over.abort());
    void this.#watchAnswer(answer, over.signal);
  }

  /** For a connection whose request is not right, or not here in time. */
  refuse(error: Error & { readonly code?: string }, socket: Socket): void {
    const isLate = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
    if (isLate && this.#followed.has(socket)) return;
    if (error.code === 'ECONNRESET' || socket.destroyed) return;
    // In the middle of an answer, or after it, nobody could tell this from that.
    if (socket.writable && !(isLate && socket.bytesWritten > 0)) socket.write(refusalOf(error.code));
    socket.destroy();
  }

  async #watchAnswer(answer: ServerResponse, over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      const before = answer.socket?.bytesWritten;
      await this.#clock.sleep(this.#limits.takenMs, over);
      // While the provider sends nothing, there is nothing to take.
      if (answer.writableNeedDrain && answer.socket?.bytesWritten === before) answer.destroy();
    }
  }

  async #watch(request: IncomingMessage, over: AbortSignal): Promise<void> {
    const { strideMs, leastBytes } = this.#limits;
    for (let before = request.socket.bytesRead; ; before = request.socket.bytesRead) {
      await this.#clock.sleep(strideMs, over);
      if (over.aborted || request.complete) return;
      // While the provider takes nothing, nothing is read either.
      const isAwaited = request.readableFlowing === true;
      if (isAwaited && request.socket.bytesRead - before < leastBytes) request.socket.destroy();
    }
  }
}

const REFUSALS: Readonly<Record<string, readonly [number, string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout'],
  HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large'],
};

/** An answer without a request (RFC 9457). */
function refusalOf(code = ''): string {
  const [status, title] = REFUSALS[code] ?? [400, 'Bad Request'];
  const body = JSON.stringify({ status, title });
  const type = 'application/problem+json; charset=utf-8';
  return `HTTP/1.1 ${status} ${title}\r\nConnection: close\r\nContent-Type: ${type}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}
