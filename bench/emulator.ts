/**
 * Rotations a second at the emulator's token endpoint, beside a bare `node:http` server that reads and answers JSON, and
 * beside `oidc-provider`: each with 10, 1,000 and 100,000 families, in turns in one run. Compare the ratios. Each
 * connection rotates families of its own, every time with the token of the answer before. `node bench/emulator.ts`
 * prints a table, `--json` one object.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Kind, Ready } from './emulator-servers.ts';
import { cpuSeconds, median } from './measure.ts';

const FAMILIES = [10, 1_000, 100_000] as const;
const KINDS: readonly Kind[] = ['bare', 'emulator', 'oidc-provider'];
const CONNECTIONS = 10;
const ROUNDS = 5;
const ROUND_MS = 2_000;
/** Until the compiler has seen enough. */
const WARM_UP_MS = 6_000;

export interface RotationSpeed {
  readonly families: number;
  readonly servers: Readonly<Record<Kind, Side>>;
}

interface Side {
  /** Rotations a second, median of the rounds; of the bare server, answers. */
  readonly perSecond: number;
  /** By the bare server's, median of the ratios of the rounds. */
  readonly ratio: number;
  /** Processor time of the server for one, in microseconds: the figure that other load moves least. */
  readonly cpu: number;
  readonly cpuRatio: number;
}

interface Shot {
  readonly perSecond: number;
  readonly cpu: number;
}

export async function rotationSpeed(families: readonly number[] = FAMILIES): Promise<readonly RotationSpeed[]> {
  const results: RotationSpeed[] = [];
  for (const count of families) results.push(await compare(count));
  return results;
}

async function compare(families: number): Promise<RotationSpeed> {
  const shooters = new Map<Kind, Shooter>();
  try {
    for (const kind of KINDS) shooters.set(kind, await Shooter.start(kind, families));
    for (const shooter of shooters.values()) await shooter.shoot(WARM_UP_MS);
    const rounds: ReadonlyMap<Kind, Shot>[] = [];
    for (let i = 0; i < ROUNDS; i++) {
      const round = new Map<Kind, Shot>();
      for (const [kind, shooter] of shooters) round.set(kind, await shooter.shoot(ROUND_MS));
      rounds.push(round);
    }
    const [bare, emulated, certified] = KINDS.map((kind) => sideOf(rounds, kind));
    if (!bare || !emulated || !certified) throw new Error('three servers are compared');
    return { families, servers: { bare, emulator: emulated, 'oidc-provider': certified } };
  } finally {
    for (const shooter of shooters.values()) await shooter.end();
  }
}

function sideOf(rounds: readonly ReadonlyMap<Kind, Shot>[], kind: Kind): Side {
  const shots = (one: Kind) => rounds.flatMap((round) => round.get(one) ?? []);
  const [own, bare] = [shots(kind), shots('bare')];
  return {
    perSecond: median(own.map((one) => one.perSecond)),
    ratio: median(own.map((one, i) => one.perSecond / (bare[i]?.perSecond ?? Number.NaN))),
    cpu: median(own.map((one) => one.cpu)),
    cpuRatio: median(own.map((one, i) => (bare[i]?.cpu ?? Number.NaN) / one.cpu)),
  };
}

class Shooter {
  readonly #child: ChildProcess;
  readonly #ready: Ready;
  readonly #tokens: string[];

  private constructor(child: ChildProcess, ready: Ready) {
    this.#child = child;
    this.#ready = ready;
    this.#tokens = [...ready.tokens];
  }

  static async start(kind: Kind, families: number): Promise<Shooter> {
    const child = fork(join(import.meta.dirname, 'emulator-servers.ts'), { serialization: 'advanced' });
    const ended = once(child, 'exit').then(() => Promise.reject(new Error(`${kind} did not start`)));
    child.send({ kind, families });
    const [ready] = (await Promise.race([once(child, 'message'), ended])) as [Ready];
    ended.catch(() => undefined);
    return new Shooter(child, ready);
  }

  async shoot(forMs: number): Promise<Shot> {
    const ports = Array.from({ length: CONNECTIONS }, () => this.#ready.port);
    const connections = await Promise.all(ports.map((port) => Connection.open(port)));
    const before = cpuSeconds(this.#child.pid ?? 0);
    const startedAt = performance.now();
    const counts = await Promise.all(connections.map((one, i) => this.#rotate(one, i, startedAt + forMs)));
    for (const connection of connections) connection.close();
    const count = counts.reduce((sum, one) => sum + one, 0);
    const cpu = ((cpuSeconds(this.#child.pid ?? 0) - before) * 1e6) / count;
    return { perSecond: count / ((performance.now() - startedAt) / 1000), cpu };
  }

  /** The families whose number leaves this remainder, one after the other. */
  async #rotate(connection: Connection, remainder: number, until: number): Promise<number> {
    let count = 0;
    for (let i = remainder; performance.now() < until; count++) {
      this.#tokens[i] = tokenIn(await connection.ask(this.#request(this.#tokens[i] ?? '')));
      i = i + CONNECTIONS < this.#tokens.length ? i + CONNECTIONS : remainder;
    }
    return count;
  }

  #request(token: string): string {
    const { path, port, clientId, clientSecret, isJson } = this.#ready;
    const fields = {
      grant_type: 'refresh_token',
      refresh_token: token,
      client_id: clientId,
      client_secret: clientSecret,
    };
    const body = isJson ? JSON.stringify(fields) : String(new URLSearchParams(fields));
    const type = isJson ? 'application/json' : 'application/x-www-form-urlencoded';
    return `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\ncontent-type: ${type}\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const over = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await over;
  }
}

function tokenIn(body: string): string {
  const { refresh_token } = JSON.parse(body) as { readonly refresh_token?: string };
  if (refresh_token === undefined) throw new Error(`no refresh token came: ${body}`);
  return refresh_token;
}

/** One keep-alive connection that does no more than it must, so that the servers are what is measured. */
class Connection {
  readonly #socket: Socket;
  #heard = '';
  #waiting: { readonly resolve: (body: string) => void; readonly reject: (error: Error) => void } | null = null;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true).setEncoding('latin1');
    socket.on('data', (part: string) => this.#hear(part));
    socket.on('error', (error) => this.#waiting?.reject(error));
    socket.on('close', () => this.#waiting?.reject(new Error('the server closed a connection')));
  }

  static async open(port: number): Promise<Connection> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new Connection(socket);
  }

  ask(request: string): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write(request, 'latin1');
    });
  }

  #hear(part: string): void {
    this.#heard += part;
    const end = this.#heard.indexOf('\r\n\r\n');
    if (end < 0) return;
    const length = Number(/content-length: (\d+)/i.exec(this.#heard.slice(0, end))?.[1]);
    if (this.#heard.length < end + 4 + length) return;
    const body = this.#heard.slice(end + 4);
    this.#heard = '';
    this.#waiting?.resolve(body);
  }

  close(): void {
    this.#socket.destroy();
  }
}

export function rotationTable(results: readonly RotationSpeed[]): string {
  const rows = results.flatMap(({ families, servers }) =>
    KINDS.map((kind) => {
      const { perSecond, ratio, cpu, cpuRatio } = servers[kind];
      return `| ${families} | ${kind} | ${Math.round(perSecond)} | ${ratio.toFixed(2)} | ${cpu.toFixed(0)} µs | ${cpuRatio.toFixed(2)} |`;
    }),
  );
  const head = '| families | server | rotations a second | ratio | processor time each | ratio |';
  return [head, '|---|---|---|---|---|---|', ...rows].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const results = await rotationSpeed();
  console.log(process.argv.includes('--json') ? JSON.stringify(results) : rotationTable(results));
}
