/**
 * Draws what goes wrong: at each exchange once, from the faults that a run allows, at its rate. Some faults strike the
 * request on the wire, some a step of the exchange, some a node or everything.
 *
 * State: what is armed for which chain.
 */
import type { ExchangeStep } from '../keeper/parts.ts';
import type { Chance } from './chance.ts';
import { type Fault, isOnWire, type WireFault } from './faults.ts';
import type { SimNode } from './node.ts';
import type { ChainTruth } from './truth.ts';

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
/** Longer than any provider of a simulation keeps an unused token. */
const LONG_ABSENCE_MS = 40 * DAY_MS;

const LATER: readonly ExchangeStep[] = ['journaled', 'stored', 'verified', 'published', 'proven'];

/** The means to do it. */
export interface Means {
  readonly chance: Chance;
  readonly faults: readonly Fault[];
  /** Share of exchanges that are struck. */
  readonly rate: number;
  now(): number;
  later(ms: number, run: () => void): void;
  crash(node: SimNode, downMs: number, fault: Fault): void;
  crashAll(downMs: number, fault: Fault): void;
  strike(fault: Fault, chain: ChainTruth | null): void;
  /** A clock was put right, which is a jump like the one before. */
  clockSet(): void;
  cutNetwork(ms: number): void;
  storeDown(ms: number, inMs: number): void;
  storeSlow(ms: number): void;
  failStore(skip: number, times: number, effect: 'before' | 'after'): void;
  restoreStore(losesJournals: boolean): void;
  restoreProvider(): void;
  revoke(chain: ChainTruth): void;
  useElsewhere(chain: ChainTruth): void;
}

export class Mischief {
  readonly #means: Means;
  readonly #onWire = new Map<string, WireFault>();
  readonly #crashes = new Map<string, { readonly step: ExchangeStep; readonly fault: Fault }>();
  isOver = false;

  constructor(means: Means) {
    this.#means = means;
  }

  /** How long a process is away after a crash: mostly seconds, at times minutes, seldom an hour. */
  downMs(): number {
    const { chance } = this.#means;
    const draw = chance.share();
    if (draw < 0.7) return chance.between(500, 10 * SECOND_MS);
    return draw < 0.95 ? chance.between(10 * SECOND_MS, 3 * MINUTE_MS) : chance.between(3 * MINUTE_MS, 60 * MINUTE_MS);
  }

  /** How much later than the first another node is started. */
  apartMs(): number {
    return this.#means.chance.between(0, 40 * SECOND_MS);
  }

  /** An exchange begins on this node. True: the node dies at this step. */
  atStep(node: SimNode, step: ExchangeStep, chain: ChainTruth): boolean {
    if (step === 'connected') this.#draw(node, chain);
    const armed = this.#crashes.get(chain.account);
    if (!armed || armed.step !== step) return false;
    this.#crashes.delete(chain.account);
    this.#means.strike(armed.fault, chain);
    this.#means.crash(node, this.downMs(), armed.fault);
    return true;
  }

  onWire(chain: ChainTruth): WireFault | null {
    const fault = this.#onWire.get(chain.account) ?? null;
    this.#onWire.delete(chain.account);
    return fault;
  }

  stop(): void {
    this.isOver = true;
    this.#onWire.clear();
    this.#crashes.clear();
  }

  #draw(node: SimNode, chain: ChainTruth): void {
    const { chance, faults, rate } = this.#means;
    if (this.isOver || faults.length === 0 || !chance.occurs(rate)) return;
    this.#do(chance.pick(faults), node, chain);
  }

  #do(fault: Fault, node: SimNode, chain: ChainTruth): void {
    const { chance } = this.#means;
    if (isOnWire(fault)) {
      this.#onWire.set(chain.account, fault);
      return;
    }
    if (fault === 'crash_at_receipt') {
      this.#crashes.set(chain.account, { step: 'received', fault });
      return;
    }
    if (fault === 'crash_later') {
      this.#crashes.set(chain.account, { step: chance.pick(LATER), fault });
      return;
    }
    this.#means.strike(fault, isAboutOne(fault) ? chain : null);
    this.#outage(fault, node, chain);
  }

  #outage(fault: Fault, node: SimNode, chain: ChainTruth): void {
    const means = this.#means;
    const { chance } = means;
    // Mostly short: every order of magnitude is as likely as another.
    const minutes = (most: number): number => SECOND_MS * Math.floor((most * 60) ** chance.share());
    switch (fault) {
      case 'unreachable':
        means.cutNetwork(minutes(10));
        break;
      case 'store_fails':
        means.failStore(chance.between(0, 12), chance.between(1, 4), 'before');
        break;
      case 'store_unconfirmed':
        means.failStore(chance.between(0, 12), chance.between(1, 2), 'after');
        break;
      case 'store_down':
        means.storeDown(minutes(10), chance.between(0, 60));
        break;
      case 'store_slow':
        means.storeSlow(minutes(1));
        break;
      case 'disk_full':
        node.disk.fill(minutes(60));
        break;
      case 'pause':
        node.pause(minutes(5));
        break;
      case 'clock_jump':
        this.#jump(node);
        break;
      case 'store_restored':
        means.restoreStore(false);
        break;
      case 'copies_destroyed':
        means.restoreStore(true);
        break;
      case 'provider_restored':
        means.restoreProvider();
        break;
      case 'long_absence':
        means.crashAll(LONG_ABSENCE_MS, fault);
        break;
      case 'revoked':
        means.revoke(chain);
        break;
      case 'used_elsewhere':
        means.useElsewhere(chain);
        break;
      default:
    }
  }

  /**
   * The clock is wrong for a while, and then right again. A machine starts anew only when its clock has been right for
   * long: a clock that is set while the machine is down deceives any program.
   */
  #jump(node: SimNode): void {
    const { chance } = this.#means;
    if (this.#means.now() - node.machine.bootedAt < 2 * 60 * MINUTE_MS) return;
    if (this.#means.now() - node.machine.wrongUntil > 2 * 60 * MINUTE_MS && chance.occurs(0.3)) {
      this.#means.crash(node, this.downMs(), 'clock_jump');
      node.reboot();
      return;
    }
    const forMs = chance.between(MINUTE_MS, 30 * MINUTE_MS);
    node.machine.skewMs = chance.between(-60 * MINUTE_MS, 60 * MINUTE_MS);
    node.machine.wrongUntil = this.#means.now() + forMs;
    this.#means.later(forMs, () => {
      if (this.#means.now() < node.machine.wrongUntil) return;
      node.machine.skewMs = 0;
      this.#means.clockSet();
    });
  }
}

function isAboutOne(fault: Fault): boolean {
  return fault === 'revoked' || fault === 'used_elsewhere';
}
