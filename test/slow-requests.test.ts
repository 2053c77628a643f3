/** Requests that arrive slowly, over real sockets: they hold no connection, and what moves is left alone. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { Arrivals } from '../src/http/arrival.ts';
import { ADMIN_KEY, fakeParts, liveToken } from '../src/http/fake-keeper.ts';
import { buildServer } from '../src/http/server.ts';
import { relay } from '../src/world/relay.ts';
import { systemClock } from '../src/world/system-clock.ts';

const LIMITS = { headMs: 100, wholeMs: 200, everyMs: 20, strideMs: 1_000, leastBytes: 100, takenMs: 1_000 };
const FORM = 'content-type: application/x-www-form-urlencoded';

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).toReversed()) await one.close();
});

interface Upstream {
  /** What it does with a request. */
  serving: (request: IncomingMessage, answer: ServerResponse) => unknown;
}

/** A server with short limits before an API; time passes for what is followed when the test says so. */
async function world() {
  const upstream: Upstream = { serving: (_, answer) => answer.end('done') };
  const api = createServer((request, answer) => upstream.serving(request, answer));
  const apiPort = await listening(api);
  const fakes = fakeParts();
  const { id } = fakes.keeper.addGrant('eol');
  for (const name of ['eol', id]) fakes.keeper.live.set(name, liveToken('at', 600_000));
  const usual = await fakes.keeper.apis.of('eol');
  const apis = { of: async () => ({ ...usual, baseUrls: [`http://127.0.0.1:${apiPort}`], reach: 'local' as const }) };
  const sleepers: (() => void)[] = [];
  const sleep = (_: number, signal?: AbortSignal) =>
    new Promise<void>((done) => {
      sleepers.push(done);
      signal?.addEventListener('abort', () => done());
    });
  const server = await buildServer({
    ...fakes,
    keeper: { ...fakes.keeper, apis },
    clock: { ...systemClock, sleep },
    relay: relay(),
    arrival: LIMITS,
  });
  await server.listen({ host: '127.0.0.1', port: 0 });
  opened.push({ close: () => api.closeAllConnections() }, api, server, {
    close: () => server.server.closeAllConnections(),
  });
  const { port } = server.server.address() as AddressInfo;
  /** All that are followed have had their time; what follows from that has happened when this resolves. */
  const passStride = async () => {
    for (const wake of sleepers.splice(0)) wake();
    await pause(20);
  };
  return { port, upstream, passStride, open: () => opening(port) };
}

async function listening(server: ReturnType<typeof createServer>): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function opening(port: number) {
  const socket = connect(port, '127.0.0.1');
  // It may be reset while something is written.
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  const said: Promise<string> = new Promise((done) => {
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.once('close', () => done(Buffer.concat(chunks).toString()));
  });
  return { socket, said };
}

/** The head of a request that promises so many bytes. */
const head = (path: string, length: number, ...more: string[]) =>
  [`POST ${path} HTTP/1.1`, 'host: x', `content-length: ${length}`, ...more, '', ''].join('\r\n');

const proxied = (length: number) =>
  head('/proxy/eol/v1/x', length, `authorization: Bearer ${ADMIN_KEY}`, 'connection: close');

/** A byte every now and then, for as long as somebody listens. */
async function drip(socket: Socket): Promise<void> {
  while (!socket.destroyed && socket.writable) {
    socket.write('a');
    await pause(10);
  }
}

describe('a request that does not arrive in time', () => {
  test.each([
    ['a connection on which nothing comes', ''],
    ['a head without an end', 'POST /oauth/token HTTP/1.1\r\nhost: x\r\nx-pad: '],
    ['a body at the token endpoint', head('/oauth/token', 10_000, FORM)],
    ['a body at the pushed request endpoint', head('/oauth/par', 10_000, FORM)],
    [
      'a body at the API',
      head('/v1/clients', 10_000, `authorization: Bearer ${ADMIN_KEY}`, 'content-type: application/json'),
    ],
    ['a form of a page', head('/oauth/device', 10_000, FORM)],
    ['a short body at the proxy', proxied(10_000)],
  ])('%s is refused and its connection ended, also where a byte comes now and then', async (_, sent) => {
    const { open } = await world();
    const [still, dripping] = [await open(), await open()];
    still.socket.write(sent);
    dripping.socket.write(sent);
    if (sent !== '') void drip(dripping.socket);
    for (const { said } of [still, dripping]) {
      const [status, ...rest] = (await said).split('\r\n');
      expect(status).toBe('HTTP/1.1 408 Request Timeout');
      expect(rest).toContain('Connection: close');
    }
  });

  test('is told once: an answer that was given before stands alone', async () => {
    const { open } = await world();
    const { socket, said } = await open();
    socket.write(head('/proxy/eol/v1/x', 1_000_000, 'authorization: Bearer nonsense'));
    void drip(socket);
    const answers = (await said).match(/HTTP\/1\.1 \d+/g);
    expect(answers).toEqual(['HTTP/1.1 401']);
  });

  test('keeps nobody else waiting', async () => {
    const { open, port } = await world();
    const slow = await Promise.all(Array.from({ length: 50 }, open));
    for (const { socket } of slow) socket.write(head('/oauth/token', 10_000, FORM));
    expect((await fetch(`http://127.0.0.1:${port}/livez`)).status).toBe(200);
    await Promise.all(slow.map(({ said }) => said));
  });
});

describe('a request that is here', () => {
  test('may wait for its answer as long as that takes', async () => {
    const { open, upstream } = await world();
    upstream.serving = (_, answer) => pause(LIMITS.wholeMs * 3).then(() => answer.end('late'));
    const { socket, said } = await open();
    socket.write(`${proxied(4)}body`);
    expect(await said).toMatch(/^HTTP\/1\.1 200 .*late/s);
  });

  test('may be followed by another one on the same connection, after a while', async () => {
    const { open } = await world();
    const { socket, said } = await open();
    const get = 'GET /livez HTTP/1.1\r\nhost: x\r\n';
    socket.write(`${get}\r\n`);
    await pause(LIMITS.headMs * 3);
    socket.write(`${get}connection: close\r\n\r\n`);
    expect((await said).match(/HTTP\/1\.1 200/g)).toHaveLength(2);
  });
});

describe('a large body on its way through the proxy', () => {
  const SIZE = 200_000;

  test('may take longer than other requests, as long as it moves', async () => {
    const { open, upstream, passStride } = await world();
    let got = 0;
    const arrived = new Promise<void>((begun) => {
      upstream.serving = async (request, answer) => {
        begun();
        got = (await buffer(request)).length;
        answer.end('done');
      };
    });
    const { socket, said } = await open();
    // Its head goes on with the first piece.
    socket.write(proxied(SIZE));
    socket.write(Buffer.alloc(SIZE / 10));
    await arrived;
    for (let sent = SIZE / 10; sent < SIZE; sent += SIZE / 10) {
      socket.write(Buffer.alloc(SIZE / 10));
      // In all, twice as long as the whole of another request may take.
      await pause((LIMITS.wholeMs * 2) / 10);
      await passStride();
    }
    await expect.poll(() => got).toBe(SIZE);
    expect(await said).toMatch(/^HTTP\/1\.1 200 /);
  });

  test.each([
    ['stops', 0],
    ['drips', LIMITS.leastBytes - 10],
  ])('is ended where it %s, here and at the provider', async (_, bytes) => {
    const { open, upstream, passStride } = await world();
    const arrived = new Promise<IncomingMessage>((done) => {
      upstream.serving = (request) => done(request.on('error', () => undefined).resume());
    });
    const { socket, said } = await open();
    socket.write(Buffer.concat([Buffer.from(proxied(SIZE)), Buffer.alloc(50_000)]));
    const request = await arrived;
    const gone = new Promise((done) => {
      request.once('close', done);
    });
    await passStride();
    socket.write(Buffer.alloc(bytes));
    await pause(20);
    await passStride();
    expect(await said).toBe('');
    await gone;
  });

  test('is not blamed for a provider that takes nothing, and is once that takes again', async () => {
    const sleepers: (() => void)[] = [];
    const sleep = () =>
      new Promise<void>((done) => {
        sleepers.push(done);
      });
    const passStride = async () => {
      for (const wake of sleepers.splice(0)) wake();
      await pause(1);
    };
    const destroy = vi.fn();
    const body = Object.assign(new PassThrough(), { socket: { bytesRead: 0, destroy }, complete: false });
    new Arrivals({ ...systemClock, sleep }, LIMITS).follow(body as unknown as IncomingMessage);
    for (const isTaken of [false, true, false]) {
      if (isTaken) body.resume();
      else body.pause();
      body.socket.bytesRead += isTaken ? LIMITS.leastBytes : 0;
      await passStride();
      expect(destroy).not.toHaveBeenCalled();
    }
    body.resume();
    await passStride();
    expect(destroy).toHaveBeenCalledOnce();
  });
});

describe('a large answer on its way through the proxy', () => {
  const PIECE = Buffer.alloc(65_536);

  /** Sends without an end, as fast as it is taken. */
  function endless(_: IncomingMessage, answer: ServerResponse): void {
    const more = () => {
      while (!answer.destroyed && answer.write(PIECE));
    };
    answer.on('drain', more);
    more();
  }

  test('is broken off where nobody takes it, and the connection to the provider with it', async () => {
    const { open, upstream, passStride } = await world();
    const ended = new Promise<void>((done) => {
      upstream.serving = (request, answer) => {
        answer.once('close', done);
        endless(request, answer);
      };
    });
    const { socket } = await open();
    socket.pause();
    socket.write(proxied(0));
    let isOver = false;
    void ended.then(() => {
      isOver = true;
    });
    // Until all that lies between is full, it moves.
    while (!isOver) await passStride();
  });

  test('goes on for who takes it, however long that lasts, and where the provider pauses', async () => {
    const { open, upstream, passStride } = await world();
    let api: ServerResponse | null = null;
    upstream.serving = (request, answer) => {
      api = answer;
      endless(request, answer);
    };
    const { socket } = await open();
    let got = 0;
    socket.on('data', ({ length }) => {
      got += length;
    });
    socket.write(proxied(0));
    for (let stride = 0; stride < 5; stride++) {
      // More than could lie on the way.
      const enough = got + 32 * 1_048_576;
      await expect.poll(() => got, { timeout: 60_000 }).toBeGreaterThan(enough);
      await passStride();
    }
    (api as ServerResponse | null)?.removeAllListeners('drain');
    for (let before = -1; before !== got; await pause(100)) before = got;
    for (let stride = 0; stride < 5; stride++) await passStride();
    expect(socket.destroyed).toBe(false);
    const before = got;
    (api as ServerResponse | null)?.write(PIECE);
    await expect.poll(() => got).toBeGreaterThan(before);
    socket.destroy();
  });
});
