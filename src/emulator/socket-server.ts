/** The outer wall: a socket on loopback, in front of the handler. It delivers answers as faults want them delivered. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { bodyText, type EmulatorAnswer, type EmulatorRequest, type Handler } from './wire.ts';

const MOST_BODY_BYTES = 1_048_576;

/** A fatal TLS alert, `handshake_failure` (RFC 8446 section 6.2). */
const HANDSHAKE_FAILURE = Buffer.from([0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x28]);

export interface Listening {
  readonly port: number;
  close(): Promise<void>;
}

/** Rejects with the error of the socket (`EADDRINUSE`) when it cannot listen. */
export async function listen(handler: Handler, port: number, sleep: (ms: number) => Promise<void>): Promise<Listening> {
  const server = createServer((incoming, outgoing) => {
    serve(handler, incoming, outgoing, sleep).catch(() => outgoing.destroy());
  });
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

async function serve(
  handler: Handler,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  sleep: (ms: number) => Promise<void>,
): Promise<void> {
  const request = await read(incoming);
  if (!request) {
    outgoing.writeHead(413, { connection: 'close' }).end();
    return;
  }
  await deliver(await handler(request), outgoing, sleep);
}

function read(incoming: IncomingMessage): Promise<EmulatorRequest | null> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    incoming.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > MOST_BODY_BYTES) resolve(null);
      else chunks.push(chunk);
    });
    incoming.once('end', () => resolve(requestOf(incoming, chunks.length === 1 ? chunks[0] : Buffer.concat(chunks))));
    incoming.once('error', reject);
  });
}

function requestOf(incoming: IncomingMessage, body: Uint8Array = new Uint8Array()): EmulatorRequest {
  // Of a request only `set-cookie` can be a list, and nobody sends that.
  const headers = incoming.headers as Record<string, string>;
  return { method: incoming.method ?? 'GET', url: incoming.url ?? '/', headers, body };
}

async function deliver(
  { status, headers, body, delivery }: EmulatorAnswer,
  outgoing: ServerResponse,
  sleep: (ms: number) => Promise<void>,
): Promise<void> {
  if (delivery.kind === 'hang') return;
  if (delivery.kind === 'none') {
    outgoing.destroy();
    return;
  }
  if (delivery.kind === 'alert') {
    outgoing.socket?.end(HANDSHAKE_FAILURE);
    return;
  }
  const bodyless = status === 304 || status === 204;
  outgoing.writeHead(status, bodyless ? headers : { ...headers, 'content-length': body.length });
  // As a text it leaves in one piece with the head. All bodies are texts.
  if (delivery.kind === 'whole') outgoing.end(bodyText({ body }));
  else if (delivery.kind === 'drip') await drip(body, delivery, outgoing, sleep);
  else cut(body.subarray(0, delivery.bytes), delivery.end, outgoing);
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
