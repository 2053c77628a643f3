/**
 * Requests to the outside, over `node:http`. A connection is opened to an address that was checked, carries one request,
 * and is gone: no redirect, no repetition, no reuse, since any of them could present a one-time token twice.
 */
import { type ClientRequest, type IncomingMessage, request as begin } from 'node:http';
import type { Socket } from 'node:net';
import { brotliDecompressSync, constants, inflateSync, unzipSync } from 'node:zlib';
import type { Connection, HttpAnswer, HttpRequest, Lost, Network, NotSent } from '../ports/network.ts';
import { connect, guard, type NetworkOptions, type Target } from './guarded-connection.ts';

/** No answer that matters is larger; of one that is, only this much is read. */
const MAX_BODY_BYTES = 1024 * 1024;

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
  #isUsed = false;

  constructor(target: Target, socket: Socket) {
    this.#target = target;
    this.#socket = socket;
    // An error while nobody is sending shows as a destroyed socket.
    socket.on('error', () => {});
  }

  async send(request: HttpRequest, timeoutMs: number): Promise<HttpAnswer | NotSent | Lost> {
    const hindrance = this.#hindrance(request);
    if (hindrance !== null) return notSent(hindrance);
    this.#isUsed = true;
    let sent: ClientRequest;
    try {
      sent = this.#begin(request);
    } catch (cause) {
      this.close();
      return notSent(reasonOf(cause));
    }
    const timer = setTimeout(
      () => this.#socket.destroy(new Error(`no whole answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
    try {
      // From here on nobody knows what left.
      return await readAnswer(await headOf(sent, request.body));
    } catch (cause) {
      return { kind: 'lost', reason: reasonOf(cause) };
    } finally {
      clearTimeout(timer);
      this.close();
    }
  }

  /** Ends whatever is under way; `send` then settles with what it has. */
  close(): void {
    this.#socket.destroy();
  }

  /** Why nothing can be sent any more; null where it can. */
  #hindrance(request: HttpRequest): string | null {
    if (this.#isUsed) return 'the connection was used already';
    if (URL.parse(request.url)?.origin !== this.#target.origin) return 'the connection leads to another origin';
    const isClosed = this.#socket.destroyed || this.#socket.readableEnded || !this.#socket.writable;
    return isClosed ? 'the other end closed the connection before anything was sent' : null;
  }

  /** Nothing is written yet. On the open socket, and without an agent: it cannot connect anew, so it cannot send anew. */
  #begin({ method, url, headers }: HttpRequest): ClientRequest {
    const { host, pathname, search } = new URL(url);
    return begin({
      createConnection: () => this.#socket,
      method,
      path: `${pathname}${search}`,
      headers: { 'user-agent': 'evergrant', ...headers, 'accept-encoding': 'identity', host, connection: 'close' },
    });
  }
}

/** Sends, and resolves once status and headers are here. */
function headOf(sent: ClientRequest, body: string | undefined): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    // Of some ends (a change of protocol) Node tells no error. What fails after the headers shows in the body.
    const closed = (): void => reject(new Error('the connection was closed without an answer'));
    sent.on('error', reject).on('response', resolve).on('close', closed).end(body);
  });
}

async function readAnswer(response: IncomingMessage): Promise<HttpAnswer> {
  const headers = headersOf(response.rawHeaders);
  const { bytes, complete } = await readBody(response);
  return { kind: 'answer', status: response.statusCode ?? 0, headers, body: decoded(bytes, headers), complete };
}

/** From names and values in turns. */
function headersOf(raw: readonly string[]): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = (raw[i] ?? '').toLowerCase();
    const value = raw[i + 1] ?? '';
    headers[name] = Object.hasOwn(headers, name) ? `${headers[name]}, ${value}` : value;
  }
  return headers;
}

/** Keeps what came, however it ends: half an answer may hold a whole refresh token. */
function readBody(response: IncomingMessage): Promise<{ bytes: Uint8Array; complete: boolean }> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const end = (): void => resolve({ bytes: join(chunks), complete: response.complete && size <= MAX_BODY_BYTES });
    response.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size > MAX_BODY_BYTES) end();
    });
    response.on('end', end).on('error', end).on('close', end);
  });
}

function join(chunks: readonly Buffer[]): Uint8Array {
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

/** In words, with the system's code. Errors of sockets and of `node:http` hold no header and no body. */
function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const code =
    'code' in cause && typeof cause.code === 'string' && !cause.message.includes(cause.code) ? ` (${cause.code})` : '';
  return `${cause.message || cause.name}${code}`;
}
