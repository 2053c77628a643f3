/**
 * A wire between a node and PostgreSQL that fails as a test says. It reads the server's messages (the frontend/backend
 * protocol 3.0, "Message Formats" in PostgreSQL's manual), so it can lose just the answer to a COMMIT: the change is
 * made, and nobody is told. Without TLS only.
 *
 * States of the wire: whole ⇄ cut (connections are refused), whole ⇄ frozen (nothing passes, nothing ends).
 */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface FaultProxy {
  /** The database's URL by way of the proxy. */
  readonly url: string;
  /** How many answers to a COMMIT were lost. */
  readonly lost: number;
  /** The next so many COMMITs are done, and their connections break before the answer. */
  loseNextCommits(count: number): void;
  /** Breaks every connection, once. */
  breakAll(): void;
  /** Breaks every connection and refuses new ones, until `mend`. */
  cut(): void;
  /** Nothing passes any more in either direction, and no connection ends, until `mend`. */
  freeze(): void;
  /** Everything arrives so much later, in both directions. */
  delay(ms: number): void;
  /** As at the start; what was frozen goes on. */
  mend(): void;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export async function faultProxy(databaseUrl: string): Promise<FaultProxy> {
  const to = new URL(databaseUrl);
  const server = createServer();
  const proxy = new Between(server, to);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return proxy;
}

class Between implements FaultProxy {
  readonly #server: Server;
  readonly #to: URL;
  readonly #wires = new Set<Wire>();
  #toLose = 0;
  #isCut = false;
  #isFrozen = false;
  #delayMs = 0;
  lost = 0;

  constructor(server: Server, to: URL) {
    this.#server = server;
    this.#to = to;
    server.on('connection', (socket) => this.#accept(socket));
  }

  get url(): string {
    const address = this.#server.address();
    const url = new URL(this.#to);
    url.host = `127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
    return url.href;
  }

  loseNextCommits(count: number): void {
    this.#toLose = count;
  }

  breakAll(): void {
    for (const wire of this.#wires) wire.end();
  }

  cut(): void {
    this.#isCut = true;
    this.breakAll();
  }

  freeze(): void {
    this.#isFrozen = true;
    for (const wire of this.#wires) wire.freeze();
  }

  delay(ms: number): void {
    this.#delayMs = ms;
  }

  mend(): void {
    this.#isCut = false;
    this.#isFrozen = false;
    this.#delayMs = 0;
    this.#toLose = 0;
    for (const wire of this.#wires) wire.thaw();
  }

  async close(): Promise<void> {
    this.cut();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, 'close');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #accept(near: Socket): void {
    if (this.#isCut) {
      near.destroy();
      return;
    }
    const far = connect({ host: this.#to.hostname, port: Number(this.#to.port || 5432) });
    const wire = new Wire(near, far, {
      delayMs: () => this.#delayMs,
      losesCommit: () => {
        if (this.#toLose === 0) return false;
        this.#toLose -= 1;
        this.lost += 1;
        return true;
      },
      ended: () => this.#wires.delete(wire),
    });
    this.#wires.add(wire);
    if (this.#isFrozen) wire.freeze();
  }
}

interface Faults {
  readonly delayMs: () => number;
  /** Asked once for every answer to a COMMIT. */
  readonly losesCommit: () => boolean;
  readonly ended: () => void;
}

/** One connection, both ways. */
class Wire {
  readonly #near: Socket;
  readonly #far: Socket;
  readonly #ended: () => void;
  #thawed: PromiseWithResolvers<void> | null = null;

  constructor(near: Socket, far: Socket, faults: Faults) {
    this.#near = near;
    this.#far = far;
    this.#ended = faults.ended;
    const answers = new Answers();
    for (const socket of [near, far]) {
      socket.setNoDelay(true);
      socket.on('error', () => this.end());
      socket.on('close', () => this.end());
    }
    this.#carry(near, faults, (chunk) => {
      if (!far.destroyed) far.write(chunk);
    });
    this.#carry(far, faults, (chunk) => {
      for (const message of answers.read(chunk)) {
        if (isCommitted(message) && faults.losesCommit()) {
          this.end();
          return;
        }
        if (!near.destroyed) near.write(message);
      }
    });
  }

  end(): void {
    this.#near.destroy();
    this.#far.destroy();
    this.#ended();
  }

  freeze(): void {
    this.#thawed ??= Promise.withResolvers();
  }

  thaw(): void {
    this.#thawed?.resolve();
    this.#thawed = null;
  }

  /** One chunk after the other, so that none overtakes another. */
  #carry(from: Socket, faults: Faults, pass: (chunk: Buffer) => void): void {
    let before = Promise.resolve();
    from.on('data', (chunk: Buffer) => {
      before = before.then(async () => {
        if (faults.delayMs() > 0) await sleep(faults.delayMs());
        await this.#thawed?.promise;
        pass(chunk);
      });
    });
  }
}

/** Cuts what a server sends into its messages: a type of one byte, then a length that counts itself. */
class Answers {
  #rest: Buffer = Buffer.alloc(0);
  #isFirst = true;

  read(chunk: Buffer): readonly Buffer[] {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    const messages: Buffer[] = [];
    // "No TLS here": one bare byte, before everything else.
    if (this.#isFirst && this.#rest.length === 1 && this.#rest.toString() === 'N') messages.push(this.#take(1));
    this.#isFirst = false;
    while (this.#rest.length >= 5) {
      const length = 1 + this.#rest.readInt32BE(1);
      if (this.#rest.length < length) break;
      messages.push(this.#take(length));
    }
    return messages;
  }

  #take(length: number): Buffer {
    const taken = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return taken;
  }
}

/** CommandComplete with the tag COMMIT. */
function isCommitted(message: Buffer): boolean {
  return message.length > 5 && message.toString('latin1', 0, 1) === 'C' && message.toString('latin1', 5) === 'COMMIT\0';
}
