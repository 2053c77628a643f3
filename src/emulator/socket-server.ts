/** The outer wall: a socket on loopback, in front of the handler. It delivers answers as faults want them delivered. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Reply, EmulatorRequest, Responder } from './wire.ts';

const MOST_BODY_BYTES = 1_048_576;

/** A fatal TLS alert, `handshake_failure` (RFC 8446 section 6.2). */
const HANDSHAKE_FAILURE = Buffer.from([0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x28]);

/** A certificate and its key, as PEM. */
export interface Tls {
  readonly cert: string;
  readonly key: string;
}

export interface Listening {
  readonly port: number;
  close(): Promise<void>;
}

/** Rejects with the error of the socket (`EADDRINUSE`) when it cannot listen. */
export async function listen(
  respond: Responder,
  { port, sleep, tls }: { port: number; sleep: (ms: number) => Promise<void>; tls: Tls | null },
): Promise<Listening> {
  const answerTo = (incoming: IncomingMessage, outgoing: ServerResponse) => {
    receive(incoming, (body) => {
      if (body === null) outgoing.writeHead(413, { connection: 'close' }).end();
      else serve(respond, requestOf(incoming, body, tls !== null), outgoing, sleep);
    });
  };
  // A connection that the server gives up while a request is on its way to it would be a fault that nobody asked for.
  const patient = { keepAliveTimeout: 0 };
  const server = tls ? createTlsServer({ ...patient, ...tls }, answerTo) : createServer(patient, answerTo);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, '127.0.0.1', resolve);
  });
  return { port: (server.address() as AddressInfo).port, close: () => close(server) };
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

/** Gives the body once it is there, or null as soon as it is too long; nothing when the client goes away before. */
function receive(incoming: IncomingMessage, done: (body: Uint8Array | null) => void): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  incoming.on('data', (chunk: Buffer) => {
    const wasTooLong = bytes > MOST_BODY_BYTES;
    bytes += chunk.length;
    if (bytes <= MOST_BODY_BYTES) chunks.push(chunk);
    else if (!wasTooLong) done(null);
  });
  incoming.on('end', () => {
    if (bytes <= MOST_BODY_BYTES) done(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks));
  });
}

function requestOf(incoming: IncomingMessage, body: Uint8Array, isTls: boolean): EmulatorRequest {
  // Of a request only `set-cookie` can be a list, and nobody sends that.
  const headers = incoming.headers as Record<string, string>;
  const request = { method: incoming.method ?? 'GET', url: incoming.url ?? '/', headers, body };
  return isTls ? { ...request, scheme: 'https' } : request;
}

function serve(
  respond: Responder,
  request: EmulatorRequest,
  outgoing: ServerResponse,
  sleep: (ms: number) => Promise<void>,
): void {
  const giveUp = () => outgoing.destroy();
  try {
    const given = respond(request);
    if (given instanceof Promise) given.then((one) => deliver(one, outgoing, sleep)).catch(giveUp);
    else deliver(given, outgoing, sleep);
  } catch {
    giveUp();
  }
}

function deliver(
  { status, headers, text, delivery }: Reply,
  outgoing: ServerResponse,
  sleep: (ms: number) => Promise<void>,
): void {
  if (delivery.kind === 'hang') return;
  if (delivery.kind === 'none') {
    outgoing.destroy();
    return;
  }
  if (delivery.kind === 'alert') {
    outgoing.socket?.end(HANDSHAKE_FAILURE);
    return;
  }
  const isBodyless = status === 304 || status === 204;
  const bytes = Buffer.byteLength(text);
  outgoing.writeHead(status, isBodyless ? headers : { ...headers, 'content-length': bytes });
  // As a text it leaves in one piece with the head, and cheapest where each character is a byte.
  if (delivery.kind === 'whole') outgoing.end(text, bytes === text.length ? 'latin1' : 'utf8');
  else if (delivery.kind === 'drip') drip(Buffer.from(text), delivery, outgoing, sleep).catch(() => outgoing.destroy());
  else cut(Buffer.from(text).subarray(0, delivery.bytes), delivery.end, outgoing);
}

async function drip(
  body: Uint8Array,
  { chunkBytes, pauseMs }: { readonly chunkBytes: number; readonly pauseMs: number },
  outgoing: ServerResponse,
  sleep: (ms: number) => Promise<void>,
): Promise<void> {
  for (let at = 0; at < body.length && !outgoing.destroyed; at += chunkBytes) {
    outgoing.write(body.subarray(at, at + chunkBytes));
    await sleep(pauseMs);
  }
  outgoing.end();
}

/** Head and part of the body reach the client before the connection ends. */
function cut(part: Uint8Array, end: 'close' | 'reset', outgoing: ServerResponse): void {
  const { socket } = outgoing;
  outgoing.flushHeaders();
  outgoing.write(part, () => {
    if (end === 'reset') socket?.resetAndDestroy();
    else socket?.end();
  });
}
