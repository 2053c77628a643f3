/**
 * Harms one world, round after round: time jumps until every chain wants an exchange, something strikes, and then, once
 * nothing strikes any more, every client must get its token again; where a chain is lost, it is judged why.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Chance } from '../../src/sim/chance.ts';
import { type Account, accountOf } from './account.ts';
import { type Answer, call, history } from './api.ts';
import type { Client } from './client.ts';
import type { Cluster } from './cluster.ts';
import type { SmallDisk } from './disk.ts';
import { type AnyHarm, drawFaults, drawHarm, endsItself, freeze, kill, pass, SLOW_MS } from './harms.ts';
import { judge } from './judges.ts';
import { judgeLoss, type Loss } from './loss.ts';
import type { RealNode } from './real-node.ts';
import type { Ring, World } from './world.ts';

/** Every access token is over then, and every provider's spacing too. */
const ROTATION_MS = 640_000;
/** A live chain gives a token within this time after the last harm: more than all limits and windows. */
const RECOVERED_WITHIN_MS = 7_200_000;
const MOST_JUMP_S = 600;
const SLOW_STEP_S = 15;
/** Whoever reads along is told what is waited for. */
const TOLD_TURNS = 40;
/** For a step that a process is to die at; then it is killed where it is. */
const STEP_WITHIN_MS = 8_000;
/** Only ends what hangs. */
const HANGS_MS = 120_000;
/** A server that is told to stop is gone within this time: a little more than its limit for answers on the wire. */
const STOP_WITHIN_S = 180;
const STOP_STEP_S = 5;
const SETTLING_STEP_S = 5;
const SETTLING_TURNS = 40;

export interface Figures {
  kills: number;
  faults: number;
  rounds: number;
  readonly losses: Loss[];
  readonly harms: Map<string, number>;
}

interface Told {
  readonly client: Client;
  readonly answer: Answer;
}

export class Director {
  readonly world: World;
  readonly chance: Chance;
  readonly figures: Figures = { kills: 0, faults: 0, rounds: 0, losses: [], harms: new Map() };
  readonly #disk: SmallDisk | null;
  readonly #cluster: Cluster | null;
  readonly #tell: (line: string) => void;
  /** When everybody was last looked after; what began since then may be under way when time jumps. */
  #quietFrom = 0;

  constructor(
    world: World,
    seed: string,
    {
      disk,
      cluster,
      tell,
    }: { readonly disk: SmallDisk | null; readonly cluster: Cluster | null; readonly tell: (line: string) => void },
  ) {
    this.world = world;
    this.chance = Chance.of('harms', seed);
    this.#disk = disk;
    this.#cluster = cluster;
    this.#tell = tell;
  }

  /** One round with a harm and faults of chance, or those that are given. */
  async round(harm: AnyHarm = this.#draw(), { faults = this.#drawFaults(harm) } = {}): Promise<void> {
    const { world, figures } = this;
    for (const { ring, fault } of faults) world.rings[ring]?.provider.emulator.control.addFaults([fault]);
    figures.faults += faults.length;
    figures.rounds++;
    figures.harms.set(harm.kind, (figures.harms.get(harm.kind) ?? 0) + 1);
    const told = faults.map(({ ring, fault }) => [world.rings[ring]?.alias, fault.fault, fault.times]);
    this.#tell(`round ${figures.rounds}: ${JSON.stringify({ ...harm, faults: told })}`);
    await this.#strike(harm);
    const lost = await this.#recover();
    for (const { client, answer } of lost) await this.#bury(client, answer);
  }

  /** What hangs until a process is killed must not hang behind something else. */
  #drawFaults({ kind }: AnyHarm): ReturnType<typeof drawFaults> {
    return kind === 'killed with exchanges in flight' ? [] : drawFaults(this.chance, this.world);
  }

  /** What does not hold, now that it is over. */
  async finish(): Promise<readonly string[]> {
    const { world } = this;
    await this.#rotate();
    // Faults that waited for this strike in it.
    for (const { client, answer } of await this.#recover()) await this.#bury(client, answer);
    return [
      ...world.wrongs,
      ...judge(world.evidence, await this.#settled()),
      ...this.figures.losses
        .filter((one) => one.isAvoidable)
        .map((one) => `${one.alias} was lost, and need not have been: ${one.why}`),
    ];
  }

  /** Everybody has a token, and what else is under way ends within the limit of a request. */
  async #settled(): Promise<readonly Account[]> {
    for (let turn = 0; ; turn++) {
      const accounts: Account[] = [];
      for (const ring of this.world.rings) accounts.push(await this.#accountOf(ring));
      const isOpen = accounts.some(({ attempts }) => attempts.some(({ closed }) => closed === null));
      if (!isOpen || turn === SETTLING_TURNS) return accounts;
      await pass(this.world, 1, SETTLING_STEP_S);
    }
  }

  async #accountOf(ring: Ring): Promise<Account> {
    return accountOf(ring, await history(this.#api(), ring.alias));
  }

  exchanges(): number {
    const ledgers = this.world.providers.map(({ emulator }) => emulator.control.ledger());
    return (
      ledgers.flat().filter((one) => one.endpoint === 'token' && one.issued.length > 0).length - this.world.rings.length
    );
  }

  /** The node that this round is about. */
  victim(): RealNode {
    return this.chance.pick(this.world.nodes);
  }

  #draw(): AnyHarm {
    return drawHarm(this.chance, {
      rings: this.world.rings.length,
      hasDisk: this.#disk !== null,
      hasCluster: this.#cluster !== null,
    });
  }

  async #strike(harm: AnyHarm): Promise<void> {
    const { world } = this;
    const node = this.victim();
    switch (harm.kind) {
      case 'killed at a step':
        await node.tell({ kind: 'die', at: harm.step, nth: harm.nth });
        await this.#rotate();
        if (!(await endsItself(world, node, STEP_WITHIN_MS))) await kill(world, node);
        return this.#wasKilled(node, harm.downS);
      case 'killed at random':
        await this.#rotate();
        await sleep(harm.afterMs);
        await kill(world, node);
        return this.#wasKilled(node, harm.downS);
      case 'killed with exchanges in flight':
        for (const holder of await this.#inFlight(harm.many, harm.commit)) {
          await kill(world, holder);
          await this.#wasKilled(holder, harm.downS);
        }
        return;
      case 'frozen':
        await this.#rotate();
        await sleep(harm.afterMs);
        return freeze(world, node, () => (this.#cluster ? pass(world, harm.forS) : this.#sleepThrough(harm.forS)));
      case 'told to stop':
        await this.#rotate();
        await sleep(harm.afterMs);
        return this.#stop(node);
      case 'disk full':
        return this.#fillDisk(node, harm.isKilled);
      case 'acknowledgements lost':
        for (const wire of this.#wires) wire.loseNextCommits(harm.count);
        await this.#rotate();
        await this.#everyoneAnswered();
        for (const wire of this.#wires) wire.mend();
        return;
      case 'connections broken':
        await this.#rotate();
        await sleep(harm.afterMs);
        for (const wire of this.#wires) wire.breakAll();
        return;
      case 'a node cut off': {
        await this.#rotate();
        await sleep(harm.afterMs);
        const wire = this.#wires[world.nodes.indexOf(node)];
        wire?.cut();
        world.began(node, 'cut off');
        await pass(world, harm.forS);
        wire?.mend();
        return world.ended(node);
      }
      case 'database restarted':
      case 'database frozen':
        await this.#rotate();
        await sleep(harm.afterMs);
        return this.#withoutDatabase(harm);
    }
  }

  async #wasKilled(node: RealNode, downS: number): Promise<void> {
    this.figures.kills++;
    // Where others live on, they must have the time to take over.
    if (this.#cluster) await pass(this.world, downS);
    else if (downS > 0) await this.world.jump(downS * 1000);
    await this.world.start(node);
  }

  /** Every chain wants an exchange. One that was begun a moment ago must take that for what it is: a blow. */
  async #rotate(): Promise<void> {
    const { world } = this;
    await world.jump(ROTATION_MS);
    world.blows.push({ from: this.#quietFrom, to: world.time.nowMs });
  }

  /** Nobody else is there who could act meanwhile. */
  async #sleepThrough(seconds: number): Promise<void> {
    await sleep(200);
    await this.world.jump(seconds * 1000);
  }

  get #wires() {
    return this.#cluster?.wires ?? [];
  }

  async #everyoneAnswered(): Promise<void> {
    await Promise.all(this.world.clients.map((client) => client.next()));
  }

  /** Nobody can do anything meanwhile. */
  async #withoutDatabase(harm: Extract<AnyHarm, { kind: 'database restarted' | 'database frozen' }>): Promise<void> {
    const { world } = this;
    const server = this.#cluster?.server;
    for (const node of world.nodes) world.began(node, 'cut off');
    if (harm.kind === 'database frozen') {
      server?.pause();
      await sleep(harm.forMs);
      server?.resume();
    } else {
      await server?.stop(harm.how);
      await sleep(harm.awayMs);
      await server?.start();
    }
    for (const node of world.nodes) world.ended(node);
  }

  /** The nodes of which so many requests hang at the provider. */
  async #inFlight(many: number, commit: 'before' | 'after'): Promise<readonly RealNode[]> {
    const { world } = this;
    // What is left of earlier faults would strike first.
    const free = world.rings.filter(
      ({ provider, user }) => !provider.emulator.control.state().faults.some(({ match }) => match?.user === user),
    );
    const rings = [...new Set(Array.from({ length: many }, () => this.chance.pick(free)))];
    for (const { provider, user } of rings) {
      provider.emulator.control.addFaults([{ fault: 'hang', commit, match: { endpoint: 'token', user } }]);
    }
    const since = world.time.nowMs;
    await this.#rotate();
    const hanging = () =>
      rings.filter(({ provider, user }) =>
        provider.emulator.control
          .ledger()
          .some((one) => one.fault === 'hang' && one.user?.toLowerCase() === user && Date.parse(one.time) >= since),
      ).length;
    for (let i = 0; i < HANGS_MS / 100 && hanging() < rings.length; i++) await sleep(100);
    const histories = await Promise.all(rings.map(({ alias }) => history(this.#api(), alias)));
    const holders = histories.map((items) => items.findLast(({ type }) => type === 'started')?.node);
    return world.nodes.filter(({ name }) => holders.includes(name));
  }

  async #stop(node: RealNode): Promise<void> {
    const { world } = this;
    world.began(node, 'stopping');
    const code = node.end('SIGTERM');
    // What it waits for at a provider that is slow comes by time alone.
    for (let passed = 0; node.isThere && passed < STOP_WITHIN_S; passed += STOP_STEP_S) {
      await Promise.race([code, sleep(500)]);
      if (node.isThere) await world.jump(STOP_STEP_S * 1000);
    }
    await Promise.race([code, sleep(HANGS_MS, undefined, { ref: false })]);
    if (node.isThere) {
      world.wrongs.push(`${node.name} did not end within ${STOP_WITHIN_S} s of SIGTERM`);
      await kill(world, node);
    } else if ((await code) !== 0) world.wrongs.push(`${node.name} ended with ${await code} after SIGTERM`);
    await world.start(node);
  }

  /** Full while every chain is exchanged; free again before anything else, or after the process was killed too. */
  async #fillDisk(node: RealNode, isKilled: boolean): Promise<void> {
    const { world } = this;
    const from = world.time.nowMs;
    this.#disk?.fill();
    await this.#rotate();
    await sleep(1_500);
    if (isKilled) await kill(world, node);
    this.#disk?.free();
    world.full.push({ from, to: world.time.nowMs });
    if (isKilled) await this.#wasKilled(node, 0);
  }

  /** Lets time pass as clients are told to wait, until each has a token or knows that its chain is lost. */
  async #recover(): Promise<readonly Told[]> {
    const { world } = this;
    const began = world.time.nowMs;
    for (let turn = 0; ; turn++) {
      this.#quietFrom = world.time.nowMs;
      const told = await Promise.all(world.clients.map(async (client) => ({ client, answer: await client.next() })));
      const lost = told.filter(({ answer }) => answer.status === 409);
      const waiting = told.filter(({ answer }) => answer.status !== 200 && answer.status !== 409);
      const waits = waiting.map(({ client, answer }) => this.#slowS(client.ring) ?? answer.retryAfter ?? 1);
      const doubts = waiting.length > 0 ? [] : await this.#doubts(told);
      if (waiting.length + doubts.length === 0) return lost;
      const waitedMs = world.time.nowMs - began;
      if (turn > 0 && turn % TOLD_TURNS === 0) {
        const what = waiting.map(
          ({ client, answer }) => `${client.ring.alias} ${answer.body.code} ${answer.retryAfter}`,
        );
        this.#tell(`after ${Math.round(waitedMs / 1000)} s still: ${what.join(', ')}; ${doubts.length} in doubt`);
      }
      if (waitedMs > RECOVERED_WITHIN_MS) {
        for (const { client, answer } of waiting) {
          world.wrongs.push(
            `${client.ring.alias} has had no token for ${Math.round(waitedMs / 1000)} s although nothing strikes any more: ${JSON.stringify(answer.body)}`,
          );
        }
        if (waiting.length === 0) world.wrongs.push(`a chain stays in doubt for ${Math.round(waitedMs / 1000)} s`);
        return lost;
      }
      const shortest = Math.min(...waits, ...doubts);
      if (shortest > 1) await world.jump(Math.min(MOST_JUMP_S, shortest) * 1000);
      else await pass(world, 1, stepS(turn));
    }
  }

  /** Whose token lives while its chain is in doubt: in how many seconds each is seen to. */
  async #doubts(told: readonly Told[]): Promise<readonly number[]> {
    const api = this.#api();
    const rings = told.filter(({ answer }) => answer.status === 200).map(({ client }) => client.ring);
    const grants = await Promise.all(
      rings.map(async (ring) => ({ ring, ...(await call(api, 'GET', `/v1/grants/${ring.alias}`)).body })),
    );
    return grants
      .filter(({ state }) => state === 'in_doubt')
      .map(({ ring, next_exchange_at: next }) => {
        const inS = next === null ? 1 : (Date.parse(next) - this.world.time.nowMs) / 1000;
        return this.#slowS(ring) ?? Math.max(1, Math.ceil(inS));
      });
  }

  /**
   * The seconds after which a provider that is slow answers, where whoever asked it is still there; a part of them at a
   * time, so that who gives up too early does so.
   */
  #slowS({ provider, user }: Ring): number | null {
    const { world } = this;
    const last = provider.emulator.control
      .ledger()
      .findLast((one) => one.endpoint === 'token' && one.user?.toLowerCase() === user);
    const since = Date.parse(last?.time ?? '');
    if (last?.fault !== 'delay' || world.away.some(({ to }) => to >= since)) return null;
    const leftMs = since + SLOW_MS - world.time.nowMs;
    return leftMs > 0 ? Math.min(SLOW_STEP_S, Math.ceil(leftMs / 1000)) : null;
  }

  async #bury({ ring }: Client, { body }: Answer): Promise<void> {
    const account = await this.#accountOf(ring);
    const loss = judgeLoss(this.world.sceneOf(ring), account, body.diagnosis?.code ?? body.code);
    this.figures.losses.push(loss);
    this.#tell(`lost ${loss.alias}: ${loss.isAvoidable ? 'AVOIDABLE' : 'unavoidable'}, ${loss.why}`);
    if (loss.isAvoidable)
      this.#tell(
        JSON.stringify(
          {
            diagnosis: body.diagnosis,
            presentations: account.presentations.slice(-8),
            history: account.history.slice(-24),
          },
          null,
          1,
        ),
      );
    await this.world.renew(ring);
  }

  #api() {
    const api = this.world.api();
    if (!api) throw new Error('No node is up');
    return api;
  }
}

/** "In a second" is said where nobody knows. What has not come in half a minute comes by a limit, of minutes. */
function stepS(turn: number): number {
  return turn < 30 ? 1 : turn < 60 ? 4 : 16;
}
