/**
 * Requests to the outside, over undici. A connection is opened to an address that was checked, carries one request, and
 * is gone: no redirect, no repetition, no reuse, since any of them could present a one-time token twice.
 */
import type { Socket } from 'node:net';
import { brotliDecompressSync, constants, inflateSync, unzipSync } from 'node:zlib';
import { Client, type Dispatcher } from 'undici';
import type { Connection, HttpAnswer, HttpRequest, Lost, Network, NotSent } from '../ports/network.ts';
import { connect, guard, type NetworkOptions, type Target } from './guarded-connection.ts';

/** No answer that matters is larger; of one that is, only this much is read. */
const MAX_BODY_BYTES = 1024 * 1024;
/** Made once: to note where it was made takes longer than all else that closing does. */
const CLOSED = new Error('the connection was closed here');

export function network(options: NetworkOptions = {}): Network {
  const parts = guard(options);
  return {
    async open(url, reach, timeoutMs) {
      try {
        const { target, socket } = await connect(parts, url, reach, timeoutMs);
        return new OneRequest(target, socket);
      } catch (cause) {
        return notSent(reasonOf(cause));
      }
    },
  };
}

/** One request on one connection. */
class OneRequest implements Connection {
  readonly kind = 'connection';
  readonly #target: Target;
  readonly #socket: Socket;
  #client: Client | null = null;
  /** Set as soon as the socket is handed over to be written to: from then on nobody knows what left. */
  #mayHaveSent = false;

  constructor(target: Target, socket: Socket) {
    this.#target = target;
    this.#socket = socket;
    // An error while nobody is sending shows as a destroyed socket.
    socket.on('error', () => {});
  }

  async send(request: HttpRequest, timeoutMs: number): Promise<HttpAnswer | NotSent | Lost> {
    const hindrance = this.#hindrance(request);
    if (hindrance !== null) return notSent(hindrance);
    const client = new Client(this.#target.origin, {
      connect: (_, callback) => this.#handOver(callback),
      pipelining: 0,
      headersTimeout: 0,
      bodyTimeout: 0,
      allowH2: false,
    });
    this.#client = client;
    const timer = setTimeout(() => this.#end(new Error(`no whole answer within ${timeoutMs} ms`)), timeoutMs);
    try {
      return await readAnswer(await client.request(wireForm(request)));
    } catch (cause) {
      return this.#mayHaveSent ? { kind: 'lost', reason: reasonOf(cause) } : notSent(reasonOf(cause));
    } finally {
      clearTimeout(timer);
      this.close();
    }
  }

  close(): void {
    this.#end(CLOSED);
  }

  /** Ends whatever is under way; `send` then settles with what it has. */
  #end(reason: Error): void {
    this.#client?.destroy(reason).catch(() => {});
    this.#socket.destroy();
  }

  /** Why nothing can be sent any more; null where it can. */
  #hindrance(request: HttpRequest): string | null {
    if (this.#client) return 'the connection was used already';
    if (URL.parse(request.url)?.origin !== this.#target.origin) return 'the connection leads to another origin';
    const isClosed = this.#socket.destroyed || this.#socket.readableEnded || !this.#socket.writable;
    return isClosed ? 'the other end closed the connection before anything was sent' : null;
  }

  /** Gives undici the open socket, once: it cannot connect anew, so it cannot send anew. */
  #handOver(callback: (...result: [null, Socket] | [Error, null]) => void): void {
    if (this.#mayHaveSent) {
      callback(new Error('the connection ended'), null);
      return;
    }
    this.#mayHaveSent = true;
    // Not at once: undici overlooks a request that is ready before its own connecting has returned.
    queueMicrotask(() => callback(null, this.#socket));
  }
}

function wireForm(request: HttpRequest): Dispatcher.RequestOptions {
  const { pathname, search } = new URL(request.url);
  return {
    method: request.method,
    path: `${pathname}${search}`,
    headers: { 'user-agent': 'evergrant', ...request.headers, 'accept-encoding': 'identity' },
    body: request.body ?? null,
  };
}

async function readAnswer(response: Dispatcher.ResponseData): Promise<HttpAnswer> {
  const headers = headersOf(response.headers);
  const { bytes, complete } = await readBody(response.body);
  return { kind: 'answer', status: response.statusCode, headers, body: decoded(bytes, headers), complete };
}

function headersOf(headers: Dispatcher.ResponseData['headers']): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined ? [] : [[name.toLowerCase(), Array.isArray(value) ? value.join(', ') : value]],
    ),
  );
}

/** Keeps what came, however it ends: half an answer may hold a whole refresh token. */
async function readBody(body: AsyncIterable<Uint8Array>): Promise<{ bytes: Uint8Array; complete: boolean }> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of body) {
      chunks.push(chunk);
      size += chunk.length;
      if (size > MAX_BODY_BYTES) return { bytes: join(chunks), complete: false };
    }
    return { bytes: join(chunks), complete: true };
  } catch {
    return { bytes: join(chunks), complete: false };
  }
}

function join(chunks: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(chunks).subarray(0, MAX_BODY_BYTES));
}

/**
 * Undoes a compression that was not asked for: some intermediaries compress all the same, and a token in there must not
 * be lost. Of a stream that broke off, what can be had; where nothing can, the bytes as they came.
 */
function decoded(bytes: Uint8Array, headers: Readonly<Record<string, string>>): Uint8Array {
  const options = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: MAX_BODY_BYTES };
  try {
    switch (headers['content-encoding']?.trim().toLowerCase()) {
      case 'gzip':
      case 'x-gzip':
        return new Uint8Array(unzipSync(bytes, options));
      case 'deflate':
        return new Uint8Array(inflateSync(bytes, options));
      case 'br':
        return new Uint8Array(
          brotliDecompressSync(bytes, {
            finishFlush: constants.BROTLI_OPERATION_FLUSH,
            maxOutputLength: MAX_BODY_BYTES,
          }),
        );
      default:
        return bytes;
    }
  } catch {
    return bytes;
  }
}

function notSent(reason: string): NotSent {
  return { kind: 'not_sent', reason };
}

/** In words, with the system's code. Errors of sockets and undici hold no header and no body. */
function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const code =
    'code' in cause && typeof cause.code === 'string' && !cause.message.includes(cause.code) ? ` (${cause.code})` : '';
  return `${cause.message || cause.name}${code}`;
}
