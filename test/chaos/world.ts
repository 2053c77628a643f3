/**
 * A world of real processes: emulated providers on sockets, servers on one database, and on each provider a few grants
 * whose clients never stop asking. Time passes for all alike: really, and by jumps.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Settings } from '../../src/app.ts';
import { settingsFor } from '../support/settings.ts';
import { ShiftedClock } from '../support/shifted-clock.ts';
import { type Api, authorize, call } from './api.ts';
import { Client } from './client.ts';
import type { Machine } from './node-process.ts';
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
  /** Makes the database's clock jump too. */
  readonly jump?: (ms: number) => Promise<void>;
  /** The machine of each node, by its number. */
  readonly machine?: (node: number) => Machine;
  /** Where the data folders lie; null: in the folder of the world. */
  readonly dataFolder: string | null;
}

const THIS_MACHINE: Machine = { skewMs: 0, boot: null };
/** A start or an end that takes longer is a fault of its own; a busy machine needs some. */
const START_MS = 60_000;

export class World {
  readonly folder: string;
  readonly time: Jumps;
  readonly nodes: readonly RealNode[];
  readonly providers: Provider[] = [];
  readonly rings: Ring[] = [];
  readonly clients: Client[] = [];
  /** What must not be, in sentences. */
  readonly wrongs: string[] = [];
  /** When each node could do nothing: down or frozen. */
  readonly away: {
    readonly node: RealNode;
    readonly from: number;
    readonly fromMs: number;
    to: number;
    toMs: number;
  }[] = [];
  readonly #options: WorldOptions;
  readonly #clock: ShiftedClock;
  /** When the disk was full. */
  readonly full: { readonly from: number; to: number }[] = [];
  #isOver = false;

  private constructor(options: WorldOptions, cache: string) {
    this.#options = options;
    this.folder = mkdtempSync(join(tmpdir(), 'evergrant-chaos-'));
    this.#clock = new ShiftedClock();
    this.time = new Jumps(this.#clock);
    this.nodes = Array.from({ length: options.nodes }, (_, i) => new RealNode(`node-${i + 1}`, cache));
  }

  static async create(options: WorldOptions, cache: string): Promise<World> {
    const world = new World(options, cache);
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
    for (const node of this.nodes) await this.start(node);
    for (const provider of this.providers) {
      const app = await this.#must('POST', '/v1/apps', {
        provider: provider.emulator.providerFile.id,
        client_id: provider.emulator.clientId,
        client_secret: provider.emulator.clientSecret,
      });
      for (let i = 1; i <= grants; i++) await this.#connect(provider, app.id, `${provider.name}-${i}`);
    }
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
    const began = performance.now();
    const machine = this.#options.machine?.(number) ?? THIS_MACHINE;
    await node.start({
      settings: this.#settings(node, number),
      offsetMs: this.time.offsetMs,
      machine,
      marks: this.#marks,
    });
    // Jumps while it started passed it by.
    this.ended(node);
    node.prepare();
    const tookMs = performance.now() - began;
    if (tookMs > START_MS) this.wrongs.push(`${node.name} took ${Math.round(tookMs)} ms to start`);
  }

  /** The node can do nothing from now on, until `ended`. */
  began(node: RealNode, from = this.time.nowMs): void {
    const fromMs = performance.now();
    this.away.push({ node, from, fromMs, to: Number.POSITIVE_INFINITY, toMs: Number.POSITIVE_INFINITY });
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
  wasAway(node: RealNode, sinceMs: number, untilMs = performance.now()): boolean {
    return this.away.some((one) => one.node === node && one.toMs >= sinceMs && one.fromMs <= untilMs);
  }

  /** Times at which no node could do anything. */
  nobodyThere(): readonly Span[] {
    const [first, ...others] = this.nodes.map((node) => this.away.filter((one) => one.node === node));
    return others
      .reduce<readonly Span[]>(
        (spans, of) =>
          spans.flatMap((a) => of.map((b) => ({ from: Math.max(a.from, b.from), to: Math.min(a.to, b.to) }))),
        first ?? [],
      )
      .filter(({ from, to }) => from < to);
  }

  /** Time passes, for everything and everybody. */
  async jump(ms: number): Promise<void> {
    await this.#options.jump?.(ms);
    this.time.make(ms);
    await Promise.all(this.nodes.map((node) => node.tell({ kind: 'advance', ms })));
    for (const client of this.clients) client.wake();
  }

  get #marks(): string {
    return join(this.folder, 'marks');
  }

  /** When answers of this grant were written down, by the word of the process that did it. */
  writtenDown({ id }: Ring): readonly number[] {
    if (!existsSync(this.#marks)) return [];
    const times = readFileSync(this.#marks, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith(`${id} `))
      .map((line) => Number(line.slice(id.length)));
    // A full disk takes nothing, and what it said about that is not known here.
    return times.filter((at) => !this.full.some(({ from, to }) => at >= from && at <= to));
  }

  /** A new authorization by the same person, as after a loss. */
  async renew(ring: Ring): Promise<void> {
    const { authorization_url: url } = await this.#must('POST', `/v1/grants/${ring.alias}/renew`, {});
    await this.#authorize(ring, url);
  }

  async close(): Promise<void> {
    this.#isOver = true;
    for (const node of this.nodes) node.thaw();
    for (const client of this.clients) client.wake();
    await Promise.all(this.clients.map((client) => client.done));
    await Promise.all(this.nodes.map((node) => node.close()));
    await Promise.all(this.providers.map(({ emulator }) => emulator.close()));
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #connect(provider: Provider, app: string, alias: string): Promise<void> {
    const user = `${alias}@example.com`;
    provider.emulator.control.addUser({ username: user });
    const { id, authorization_url: url } = await this.#must('POST', '/v1/grants', { app, alias });
    const ring = { alias, id, provider, user };
    await this.#authorize(ring, url);
    this.rings.push(ring);
  }

  async #authorize({ provider, user }: Ring, url: string): Promise<void> {
    provider.emulator.control.preselect({ decision: 'approve', user, once: true });
    await authorize(this.#anyApi(), url);
  }

  async #must(method: 'POST', path: string, body: unknown) {
    const answer = await call(this.#anyApi(), method, path, body);
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

  get secrets(): readonly string[] {
    return [ROOT_KEY, ADMIN_KEY, ...this.providers.map(({ emulator }) => emulator.clientSecret)];
  }
}
