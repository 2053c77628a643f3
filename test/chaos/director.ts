/**
 * Harms one world, round after round: time jumps until every chain wants an exchange, something strikes, and then, once
 * nothing strikes any more, every client must get its token again; where a chain is lost, it is judged why.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Chance } from '../../src/sim/chance.ts';
import { type Account, accountOf } from './account.ts';
import { type Answer, history } from './api.ts';
import type { Client } from './client.ts';
import type { Cluster } from './cluster.ts';
import type { SmallDisk } from './disk.ts';
import { type AnyHarm, drawFaults, drawHarm, endsItself, freeze, kill } from './harms.ts';
import { judge } from './judges.ts';
import { judgeLoss, type Loss } from './loss.ts';
import type { RealNode } from './real-node.ts';
import type { World } from './world.ts';

/** Every access token is over then, and every provider's spacing too. */
const ROTATION_MS = 640_000;
/** A live chain gives a token within this time after the last harm: twice the limit of a request, and all windows. */
const RECOVERED_WITHIN_MS = 7_200_000;
/** And by the machine's clock. */
const REALLY_WITHIN_MS = 300_000;
const MOST_JUMP_S = 600;
/** A provider that is slow; really, where time does not jump while something is in doubt. */
const SLOW_MS = 60_000;
const SLOW_REALLY_MS = 3_000;
/** For a step that a process is to die at. */
const STEP_WITHIN_MS = 8_000;
/** A server that is told to stop, with nothing that waits for minutes, is gone within this time. */
const STOP_WITHIN_MS = 60_000;

export interface Figures {
  kills: number;
  faults: number;
  rounds: number;
  readonly losses: Loss[];
  readonly harms: Map<string, number>;
}

export class Director {
  readonly world: World;
  readonly chance: Chance;
  readonly figures: Figures = { kills: 0, faults: 0, rounds: 0, losses: [], harms: new Map() };
  readonly #disk: SmallDisk | null;
  readonly #cluster: Cluster | null;
  readonly #tell: (line: string) => void;

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

  /** One round with a harm of chance, or the one that is given. */
  async round(
    harm: AnyHarm = this.#draw(),
    strike: (harm: AnyHarm) => Promise<void> = (one) => this.#strike(one),
  ): Promise<void> {
    const { world, figures } = this;
    // What hangs until a process is killed must not hang behind something else.
    const isAlone = harm.kind === 'killed with exchanges in flight';
    const faults = isAlone ? [] : drawFaults(this.chance, world, this.#cluster ? SLOW_REALLY_MS : SLOW_MS);
    for (const { ring, fault } of faults) world.rings[ring]?.provider.emulator.control.addFaults([fault]);
    figures.faults += faults.length;
    figures.rounds++;
    figures.harms.set(harm.kind, (figures.harms.get(harm.kind) ?? 0) + 1);
    this.#tell(
      `round ${figures.rounds}: ${JSON.stringify({ ...harm, faults: faults.map((one) => [world.rings[one.ring]?.alias, one.fault.fault, one.fault.times]) })}`,
    );
    await strike(harm);
    const lost = await this.#recover();
    for (const { client, answer } of lost) await this.#bury(client, answer);
  }

  /** What does not hold, now that it is over. */
  async finish(): Promise<readonly string[]> {
    const { world } = this;
    await world.jump(ROTATION_MS);
    for (const { client } of await this.#recover())
      world.wrongs.push(`${client.ring.alias} was lost while nothing happened`);
    const accounts: Account[] = [];
    for (const ring of world.rings) accounts.push(accountOf(ring, await history(this.#api(), ring.alias)));
    return [
      ...world.wrongs,
      ...judge(world, accounts),
      ...this.figures.losses
        .filter((one) => one.isAvoidable)
        .map((one) => `${one.alias} was lost, and need not have been: ${one.why}`),
    ];
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
        await world.jump(ROTATION_MS);
        if (!(await endsItself(world, node, STEP_WITHIN_MS))) await kill(world, node);
        return this.#wasKilled(node, harm.downS);
      case 'killed at random':
        await world.jump(ROTATION_MS);
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
        await world.jump(ROTATION_MS);
        await sleep(harm.afterMs);
        return freeze(
          world,
          node,
          this.#cluster ? { real: harm.forS * 1000, jump: 0 } : { real: 200, jump: harm.forS * 1000 },
        );
      case 'told to stop':
        await world.jump(ROTATION_MS);
        await sleep(harm.afterMs);
        return this.#stop(node);
      case 'disk full':
        return this.#fillDisk(node, harm.isKilled);
      case 'acknowledgements lost':
        for (const wire of this.#wires) wire.loseNextCommits(harm.count);
        await world.jump(ROTATION_MS);
        await this.#everyoneAnswered();
        for (const wire of this.#wires) wire.mend();
        return;
      case 'connections broken':
        await world.jump(ROTATION_MS);
        await sleep(harm.afterMs);
        for (const wire of this.#wires) wire.breakAll();
        return;
      case 'a node cut off': {
        await world.jump(ROTATION_MS);
        await sleep(harm.afterMs);
        const wire = this.#wires[world.nodes.indexOf(node)];
        wire?.cut();
        world.began(node);
        await sleep(harm.forMs);
        wire?.mend();
        return world.ended(node);
      }
      case 'database restarted':
      case 'database frozen':
        await world.jump(ROTATION_MS);
        await sleep(harm.afterMs);
        return this.#withoutDatabase(harm);
    }
  }

  async #wasKilled(node: RealNode, downS: number): Promise<void> {
    this.figures.kills++;
    // Where others live on, they must have the time to take over.
    if (this.#cluster) await sleep(downS * 1000);
    else if (downS > 0) await this.world.jump(downS * 1000);
    await this.world.start(node);
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
    for (const node of world.nodes) world.began(node);
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
    const rings = [...new Set(Array.from({ length: many }, () => this.chance.pick(world.rings)))];
    for (const { provider, user } of rings) {
      provider.emulator.control.addFaults([{ fault: 'hang', commit, match: { endpoint: 'token', user } }]);
    }
    const since = world.time.nowMs;
    await world.jump(ROTATION_MS);
    const hanging = () =>
      rings.filter(({ provider, user }) =>
        provider.emulator.control
          .ledger()
          .some((one) => one.fault === 'hang' && one.user?.toLowerCase() === user && Date.parse(one.time) >= since),
      ).length;
    for (let i = 0; i < STEP_WITHIN_MS / 100 && hanging() < rings.length; i++) await sleep(100);
    const histories = await Promise.all(rings.map(({ alias }) => history(this.#api(), alias)));
    const holders = histories.map((items) => items.findLast(({ type }) => type === 'started')?.node);
    return world.nodes.filter(({ name }) => holders.includes(name));
  }

  async #stop(node: RealNode): Promise<void> {
    const { world } = this;
    const began = performance.now();
    world.began(node);
    const code = node.end('SIGTERM');
    // What it waits for at a provider that is slow comes by time alone.
    for (let left = STOP_WITHIN_MS / 500; left > 0 && node.isThere; left--) {
      await Promise.race([code, sleep(500)]);
      if (node.isThere && left % 4 === 0 && !this.#cluster) await world.jump(20_000);
    }
    if (node.isThere) {
      world.wrongs.push(`${node.name} did not end within ${STOP_WITHIN_MS / 1000} s of SIGTERM`);
      await kill(world, node);
    } else if ((await code) !== 0)
      world.wrongs.push(
        `${node.name} ended with ${await code} after SIGTERM, ${Math.round(performance.now() - began)} ms`,
      );
    await world.start(node);
  }

  /** Full while every chain is exchanged; free again before anything else, or after the process was killed too. */
  async #fillDisk(node: RealNode, isKilled: boolean): Promise<void> {
    const { world } = this;
    const from = world.time.nowMs;
    this.#disk?.fill();
    await world.jump(ROTATION_MS);
    await sleep(1_500);
    if (isKilled) await kill(world, node);
    this.#disk?.free();
    world.full.push({ from, to: world.time.nowMs });
    if (isKilled) await this.#wasKilled(node, 0);
  }

  /** Lets time pass as clients are told to wait, until each has a token or knows that its chain is lost. */
  async #recover(): Promise<readonly { readonly client: Client; readonly answer: Answer }[]> {
    const { world } = this;
    const began = world.time.nowMs;
    const beganMs = performance.now();
    for (let patienceS = 1; ; ) {
      const told = await Promise.all(world.clients.map(async (client) => ({ client, answer: await client.next() })));
      const waiting = told.filter(({ answer }) => answer.status !== 200 && answer.status !== 409);
      const lost = told.filter(({ answer }) => answer.status === 409);
      if (waiting.length === 0) return lost;
      if (world.time.nowMs - began > RECOVERED_WITHIN_MS || performance.now() - beganMs > REALLY_WITHIN_MS) {
        for (const { client, answer } of waiting) {
          world.wrongs.push(
            `${client.ring.alias} has had no token for ${Math.round((world.time.nowMs - began) / 1000)} s although nothing strikes any more: ${JSON.stringify(answer.body)}`,
          );
        }
        return lost;
      }
      const shortest = Math.min(...waiting.map(({ answer }) => answer.retryAfter ?? 1));
      // "In a second" is said where nobody knows; other nodes see to it by real time.
      if (this.#cluster && shortest <= 1) {
        await sleep(300);
        continue;
      }
      patienceS = shortest > 1 ? 1 : Math.min(16, patienceS * 2);
      await world.jump(Math.min(MOST_JUMP_S, Math.max(shortest, patienceS)) * 1000);
    }
  }

  async #bury({ ring }: Client, { body }: Answer): Promise<void> {
    const account = accountOf(ring, await history(this.#api(), ring.alias));
    const loss = judgeLoss(this.world, account, body.diagnosis?.code ?? body.code);
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
