/**
 * A world of real processes: emulated providers on sockets, servers on one database, and on each provider a few grants
 * whose clients never stop asking. Time passes for all alike: really, and by jumps.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Settings } from '../../src/app.ts';
import { settingsFor } from '../support/settings.ts';
import { ShiftedClock } from '../support/shifted-clock.ts';
import { type Api, authorize, call } from './api.ts';
import { Client } from './client.ts';
import type { Evidence } from './judges.ts';
import type { Scene } from './loss.ts';
import type { Machine } from './node-process.ts';
import type { PlantedName } from './planted.ts';
import { type PolicyName, type Provider, startProvider } from './policies.ts';
import { RealNode } from './real-node.ts';
import { Jumps, type Span } from './time.ts';

const ROOT_KEY = 'c4'.repeat(32);
const ADMIN_KEY = 'an admin key of a world that is harmed';

/** One grant, with its account at the provider. */
export interface Ring {
  readonly alias: string;
  readonly id: string;
  readonly provider: Provider;
  readonly user: string;
}

export interface WorldOptions {
  readonly seed: string;
  readonly policies: readonly PolicyName[];
  /** Grants on each provider. */
  readonly grants: number;
  readonly nodes: number;
  /** Whether somebody asks for tokens all the time. */
  readonly hasClients: boolean;
  /** Null: SQLite. By the number of a node. */
  readonly database: ((node: number) => string) | null;
  /** Makes the database's clock jump too, and with it the leases of these nodes. */
  readonly jump?: (ms: number, nodes: readonly string[]) => Promise<void>;
  /** The machine of each node, by its number. */
  readonly machine?: (node: number) => Machine;
  /** What its servers do wrong. */
  readonly planted?: PlantedName | null;
  /** Where the data folders lie; null: in the folder of the world. */
  readonly dataFolder: string | null;
}

const THIS_MACHINE: Machine = { skewMs: 0, boot: null };

/** Of each client; all of them would take long to look for. */
const NEWEST_TOKENS = 20;
const STARTS = 10;
/** A database that starts again takes a while. */
const TRIES = 120;

/** Why a node could do nothing: its process was gone, stood still, was told to stop, or had no database. */
export type Absence = 'killed' | 'frozen' | 'stopping' | 'cut off';

/** A time in which a node could do nothing, by the world's clock and by this process's own. */
export interface Away {
  readonly node: RealNode;
  readonly how: Absence;
  readonly from: number;
  readonly fromMs: number;
  to: number;
  toMs: number;
}

export class World {
  readonly folder: string;
  readonly time: Jumps;
  readonly nodes: readonly RealNode[];
  readonly providers: Provider[] = [];
  readonly rings: Ring[] = [];
  readonly clients: Client[] = [];
  /** What must not be, in sentences. */
  readonly wrongs: string[] = [];
  readonly away: Away[] = [];
  readonly #options: WorldOptions;
  readonly #clock: ShiftedClock;
  /** Jumps over more than any window, and from when on an exchange may have been struck by one. */
  readonly blows: Span[] = [];
  /** When the disk was full. */
  readonly full: { readonly from: number; to: number }[] = [];
  #isOver = false;

  private constructor(options: WorldOptions) {
    this.#options = options;
    this.folder = mkdtempSync(join(tmpdir(), 'evergrant-chaos-'));
    this.#clock = new ShiftedClock();
    this.time = new Jumps(this.#clock);
    this.nodes = Array.from({ length: options.nodes }, (_, i) => new RealNode(`node-${i + 1}`, options.planted));
  }

  static async create(options: WorldOptions): Promise<World> {
    const world = new World(options);
    try {
      await world.#begin();
    } catch (error) {
      await world.close();
      throw error;
    }
    return world;
  }

  async #begin(): Promise<void> {
    const { seed, policies, grants, hasClients } = this.#options;
    mkdirSync(join(this.folder, 'data'), { recursive: true });
    for (const name of policies) {
      this.providers.push(await startProvider(name, { folder: this.folder, seed, clock: this.#clock }));
    }
    // The first one compiles for all.
    const [first, ...others] = this.nodes;
    if (first) await this.start(first);
    await Promise.all(others.map((node) => this.start(node)));
    const rings = await Promise.all(this.providers.map((provider) => this.#connectAll(provider, grants)));
    this.rings.push(...rings.flat());
    if (hasClients) this.clients.push(...this.rings.map((ring) => new Client(this, ring)));
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** A node that can be asked; null while there is none. */
  api(node: RealNode | undefined = this.nodes.find((one) => one.isUp)): Api | null {
    return node?.isUp ? { origin: node.origin, adminKey: ADMIN_KEY } : null;
  }

  dataOf(node: RealNode): string {
    return join(this.#options.dataFolder ?? join(this.folder, 'data'), node.name);
  }

  async start(node: RealNode): Promise<void> {
    const number = this.nodes.indexOf(node);
    const machine = this.#options.machine?.(number) ?? THIS_MACHINE;
    const order = () => ({
      settings: this.#settings(node, number),
      offsetMs: this.time.offsetMs,
      machine,
      marks: this.#marks,
    });
    for (let left = STARTS; ; left--) {
      try {
        await node.start(order());
        break;
      } catch (error) {
        // As whoever looks after servers does: a port that was taken just now, a database that is too busy.
        if (left === 0 || !/EADDRINUSE|cannot be reached/.test(String(error))) throw error;
      }
    }
    // Jumps while it started passed it by.
    this.ended(node);
    node.prepare();
  }

  /** The node can do nothing from now on, until `ended`. */
  began(node: RealNode, how: Absence, from = this.time.nowMs): void {
    const fromMs = performance.now();
    this.away.push({ node, how, from, fromMs, to: Number.POSITIVE_INFINITY, toMs: Number.POSITIVE_INFINITY });
  }

  ended(node: RealNode): void {
    for (const one of this.away) {
      if (one.node === node && one.to === Number.POSITIVE_INFINITY) {
        one.to = this.time.nowMs;
        one.toMs = performance.now();
      }
    }
  }

  /** Whether it could do nothing for some time between the two, by this process's own clock. */
  wasAway({ name }: Pick<RealNode, 'name'>, sinceMs: number, untilMs = performance.now()): boolean {
    return this.away.some((one) => one.node.name === name && one.toMs >= sinceMs && one.fromMs <= untilMs);
  }

  /** Times at which no node could do anything. */
  #nobodyThere(): readonly Span[] {
    const [first, ...others] = this.nodes.map((node) => this.away.filter((one) => one.node === node));
    return others
      .reduce<readonly Span[]>(
        (spans, of) =>
          spans.flatMap((a) => of.map((b) => ({ from: Math.max(a.from, b.from), to: Math.min(a.to, b.to) }))),
        first ?? [],
      )
      .filter(({ from, to }) => from < to);
  }

  /**
   * Time passes, for everything and everybody at once. The lease of a node that cannot ask for more does not go along,
   * so that the others miss it as if time had really passed.
   */
  async jump(ms: number): Promise<void> {
    await this.#holdForJump(ms);
    await this.time.make(ms, async () => {
      const heard = this.nodes.map((node) => node.tell({ kind: 'advance', ms }));
      for (const node of this.nodes) node.release();
      await Promise.all(heard);
    });
    for (const client of this.clients) client.wake();
  }

  /** Every node stands still, and the database's clock has jumped. */
  async #holdForJump(ms: number): Promise<void> {
    const there = this.nodes.filter((node) => !this.#isAway(node)).map(({ name }) => name);
    for (let left = TRIES; ; left--) {
      for (const node of this.nodes) node.hold();
      try {
        await this.#options.jump?.(ms, there);
        return;
      } catch (error) {
        for (const node of this.nodes) node.release();
        if (left === 0) throw error;
        await sleep(250);
      }
    }
  }

  /** Who is told to stop asks for more until it is gone. */
  #isAway(node: RealNode): boolean {
    return this.away.some((one) => one.node === node && one.how !== 'stopping' && one.to === Number.POSITIVE_INFINITY);
  }

  get #marks(): string {
    return join(this.folder, 'marks');
  }

  /** What is known for judging a loss of this grant. */
  sceneOf(ring: Ring): Scene {
    return {
      time: this.time,
      away: this.away.map(({ node, how, from, to }) => ({ node: node.name, how, from, to })),
      nobodyThere: this.#nobodyThere(),
      blows: this.blows,
      received: this.#marked(ring, 'received'),
      written: this.#marked(ring, 'journaled').filter((at) => !this.#wasRefused(at)),
      heard: this.clients.find((one) => one.ring === ring)?.heard ?? [],
    };
  }

  /** When a step of an exchange of this grant was reached, by the word of the process that did it. */
  #marked({ id }: Ring, step: string): readonly number[] {
    if (!existsSync(this.#marks)) return [];
    const start = `${id} ${step} `;
    return readFileSync(this.#marks, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith(start))
      .map((line) => Number(line.slice(start.length)));
  }

  /** "Written down" is reached as well where a full disk took nothing; then the server says so. */
  #wasRefused(at: number): boolean {
    const hasSaidSo = this.nodes.some(({ output }) => output.includes('The journal cannot be written'));
    return hasSaidSo && this.full.some(({ from, to }) => at >= from && at <= to);
  }

  /** What lies in the data folders, and was printed. */
  #leftBehind(): readonly { readonly where: string; readonly bytes: Buffer }[] {
    const folders = this.nodes.map((node) => this.dataOf(node)).filter((folder) => existsSync(folder));
    const files = folders.flatMap((folder) =>
      readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((one) => one.isFile())
        .map((one) => join(one.parentPath, one.name)),
    );
    return [
      ...files.map((path) => ({ where: basename(path), bytes: readFileSync(path) })),
      ...this.nodes.map(({ name, output }) => ({ where: `the log of ${name}`, bytes: Buffer.from(output) })),
    ];
  }

  /** A new authorization by the same person, as after a loss. */
  async renew(ring: Ring): Promise<void> {
    const { authorization_url: url } = await this.#must('POST', `/v1/grants/${ring.alias}/renew`, {});
    await this.#authorize(ring, url);
  }

  async close(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.nodes.filter((node) => node.isFrozen).map((node) => node.thaw()));
    for (const client of this.clients) client.wake();
    await Promise.all(this.clients.map((client) => client.done));
    await Promise.all(this.nodes.map((node) => node.close()));
    await Promise.all(this.providers.map(({ emulator }) => emulator.close()));
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #connectAll(provider: Provider, grants: number): Promise<readonly Ring[]> {
    const { emulator, name } = provider;
    const { id: app } = await this.#must('POST', '/v1/apps', {
      provider: emulator.providerFile.id,
      client_id: emulator.clientId,
      client_secret: emulator.clientSecret,
    });
    const rings: Ring[] = [];
    for (let i = 1; i <= grants; i++) rings.push(await this.#connect(provider, app, `${name}-${i}`));
    return rings;
  }

  async #connect(provider: Provider, app: string, alias: string): Promise<Ring> {
    const user = `${alias}@example.com`;
    provider.emulator.control.addUser({ username: user });
    const { id, authorization_url: url } = await this.#must('POST', '/v1/grants', { app, alias });
    const ring = { alias, id, provider, user };
    await this.#authorize(ring, url);
    return ring;
  }

  async #authorize({ provider, user }: Ring, url: string): Promise<void> {
    provider.emulator.control.preselect({ decision: 'approve', user, once: true });
    await authorize(this.#anyApi(), url);
  }

  async #must(method: 'POST', path: string, body: unknown) {
    let answer = await call(this.#anyApi(), method, path, body);
    for (let left = TRIES; answer.status === 503 && left > 0; left--) {
      await sleep(1000 * (answer.retryAfter ?? 1));
      answer = await call(this.#anyApi(), method, path, body);
    }
    if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  #anyApi(): Api {
    const api = this.api();
    if (!api) throw new Error('No node is up');
    return api;
  }

  #settings(node: RealNode, number: number): Settings {
    return settingsFor(this.dataOf(node), {
      databaseUrl: this.#options.database?.(number) ?? null,
      rootKey: ROOT_KEY,
      adminKey: ADMIN_KEY,
      nodeId: node.name,
      providersFolder: join(this.folder, 'providers'),
      log: 'debug',
    });
  }

  get evidence(): Evidence {
    const tokens = this.clients.flatMap((client) => [...client.tokens].slice(-NEWEST_TOKENS));
    const clientSecrets = this.providers.map(({ emulator }) => emulator.clientSecret);
    return {
      ledgers: this.providers.map(({ emulator }) =>
        emulator.control.ledger().filter(({ endpoint }) => endpoint === 'token'),
      ),
      served: (alias) => this.clients.find(({ ring }) => ring.alias === alias)?.served ?? [],
      nodes: this.nodes.length,
      wasAway: (node, fromMs, toMs) => this.wasAway(node, fromMs, toMs),
      secrets: [ROOT_KEY, ADMIN_KEY, ...clientSecrets, ...tokens],
      leftBehind: this.#leftBehind(),
    };
  }
}
