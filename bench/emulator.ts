/**
 * Rotations at the emulator's token endpoint, beside a bare `node:http` server that parses and answers JSON, and beside
 * `oidc-provider`: each with 10, 1,000 and 100,000 families, in short turns in one run, from one and the same client. Each
 * connection rotates families of its own, every time with the token of the answer before. The client takes a processor
 * too, so compare what an answer costs the server; how many came a second says less, where a server is not busy all the
 * time. `node bench/emulator.ts` prints a table, `--json` one object; a number takes that many families alone.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Kind, Ready } from './emulator-servers.ts';
import { median } from './measure.ts';

const FAMILIES = [10, 1_000, 100_000] as const;
const KINDS: readonly Kind[] = ['bare', 'emulator', 'oidc-provider'];
const CONNECTIONS = 10;
/** Many short ones: what else the machine does then meets all servers alike. */
const ROUNDS = 30;
const ROUND_MS = 400;
/** Answers, until the compiler has seen enough; a time would be too short for it where the machine does much else. */
const WARM_UP = 40_000;

export interface RotationSpeed {
  readonly families: number;
  readonly servers: Readonly<Record<Kind, Side>>;
}

interface Side {
  /** Rotations a second, median of the rounds; of the bare server, answers. */
  readonly perSecond: number;
  /** By the bare server's, median of the ratios of the rounds. */
  readonly ratio: number;
  /** Milliseconds. */
  readonly p99: number;
  /** Processor time of the server for one, in microseconds: the figure that other load moves least. */
  readonly cpu: number;
  readonly cpuRatio: number;
  /** Of one processor, while it was measured; well below 1 the client or the machine was the limit, not the server. */
  readonly busy: number;
}

interface Shot {
  readonly count: number;
  readonly perSecond: number;
  readonly p99: number;
  readonly cpu: number;
  readonly busy: number;
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
    for (const shooter of shooters.values()) await shooter.warmUp();
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
    p99: median(own.map((one) => one.p99)),
    busy: median(own.map((one) => one.busy)),
    cpu: median(own.map((one) => one.cpu)),
    cpuRatio: median(own.map((one, i) => (bare[i]?.cpu ?? Number.NaN) / one.cpu)),
  };
}

class Shooter {
  readonly #child: ChildProcess;
  readonly #ready: Ready;
  readonly #tokens: string[];
  /** Which family of each connection comes next. */
  readonly #next: number[] = [];

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

  async warmUp(): Promise<void> {
    for (let count = 0; count < WARM_UP; ) count += (await this.shoot(ROUND_MS)).count;
  }

  async shoot(forMs: number): Promise<Shot> {
    const ports = Array.from({ length: CONNECTIONS }, () => this.#ready.port);
    const connections = await Promise.all(ports.map((port) => Connection.open(port)));
    const before = await this.#processorTime();
    const startedAt = performance.now();
    const waits: number[] = [];
    await Promise.all(connections.map((one, i) => this.#rotate(one, i, startedAt + forMs, waits)));
    const tookMs = performance.now() - startedAt;
    const used = (await this.#processorTime()) - before;
    for (const connection of connections) connection.close();
    const p99 = waits.toSorted((a, b) => a - b)[Math.floor(waits.length * 0.99)] ?? Number.NaN;
    const count = waits.length;
    return { count, perSecond: count / (tookMs / 1000), p99, cpu: used / count, busy: used / 1000 / tookMs };
  }

  /** Microseconds so far. */
  async #processorTime(): Promise<number> {
    this.#child.send('processor time');
    const [microseconds] = (await once(this.#child, 'message')) as [number];
    return microseconds;
  }

  /** The families whose number leaves this remainder, going on where the last round ended. */
  async #rotate(connection: Connection, remainder: number, until: number, waits: number[]): Promise<void> {
    let i = this.#next[remainder] ?? remainder;
    for (let now = performance.now(); now < until; ) {
      this.#tokens[i] = tokenIn(await connection.ask(this.#request(this.#tokens[i] ?? '')));
      i = i + CONNECTIONS < this.#tokens.length ? i + CONNECTIONS : remainder;
      const then = performance.now();
      waits.push(then - now);
      now = then;
    }
    this.#next[remainder] = i;
  }

  #request(token: string): string {
    const { path, port, clientId, clientSecret, isJson } = this.#ready;
    const type = isJson ? 'application/json' : 'application/x-www-form-urlencoded';
    const body = isJson
      ? `{"grant_type":"refresh_token","refresh_token":"${token}","client_id":"${clientId}","client_secret":"${clientSecret}"}`
      : `grant_type=refresh_token&refresh_token=${encodeURIComponent(token)}&client_id=${clientId}&client_secret=${encodeURIComponent(clientSecret)}`;
    return `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\ncontent-type: ${type}\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const over = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await over;
  }
}

const TOKEN_BEGINS = '"refresh_token":"';

/** By hand: what the client does is time that the servers do not get. */
function tokenIn(body: string): string {
  const start = body.indexOf(TOKEN_BEGINS) + TOKEN_BEGINS.length;
  if (start < TOKEN_BEGINS.length) throw new Error(`no refresh token came: ${body}`);
  return body.slice(start, body.indexOf('"', start));
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
      const { perSecond, ratio, p99, cpu, cpuRatio, busy } = servers[kind];
      const time = `${cpu.toFixed(0)} µs | ${cpuRatio.toFixed(2)} | ${(100 * busy).toFixed(0)} %`;
      return `| ${families} | ${kind} | ${time} | ${Math.round(perSecond)} | ${ratio.toFixed(2)} | ${p99.toFixed(2)} ms |`;
    }),
  );
  const head = '| families | server | processor time each | ratio | busy | a second | ratio | p99 |';
  return [head, '|---|---|---|---|---|---|---|---|', ...rows, '', WHAT].join('\n');
}

const WHAT = `Each ratio is the bare server's figure beside that of this one, the median of ${ROUNDS} turns of ${ROUND_MS} ms;
1 is as good. \`bare\`: \`node:http\`, parses a JSON body and answers JSON of the same size. \`emulator\`: Exact Online, parses
a form, checks app and token, rotates, keeps everything. \`oidc-provider\`: the same with rotation and a store of maps.
One client with ${CONNECTIONS} connections for all, which verifies that each answer brings a token. Busy: the share of one
processor that the server took; where that is not near 100 %, requests a second say what the client could send.`;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const counts = process.argv.slice(2).flatMap((word) => (/^\d+$/.test(word) ? [Number(word)] : []));
  const results = await rotationSpeed(counts.length > 0 ? counts : FAMILIES);
  console.log(process.argv.includes('--json') ? JSON.stringify(results) : rotationTable(results));
}
