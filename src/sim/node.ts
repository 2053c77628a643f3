/**
 * A node: a real keeper on its parts, each behind the wall of its run. It crashes, and starts again on what it left: its
 * journal, and the store of all.
 *
 * States: down → starting → up → down.
 */
import type { Catalogue } from '../catalogue/provider.ts';
import type { GrantId, LinkId } from '../core/id.ts';
import { createKeeper } from '../keeper/create-keeper.ts';
import type { Keeper } from '../keeper/keeper.ts';
import type { ExchangeStep, KeeperParts } from '../keeper/parts.ts';
import type { Log, LogFields } from '../ports/log.ts';
import type { Network } from '../ports/network.ts';
import type { Sealer } from '../ports/sealer.ts';
import type { Chance } from './chance.ts';
import { forever, Life } from './life.ts';
import { type Machine, nodeClock } from './node-clock.ts';
import { JournalDisk } from './node-journal.ts';
import type { StoreOfAll } from './store-of-all.ts';
import type { VirtualTime } from './virtual-time.ts';

export interface NodeSurroundings {
  readonly time: VirtualTime;
  readonly store: StoreOfAll;
  readonly sealer: Sealer;
  readonly catalogue: Catalogue;
  readonly chance: Chance;
  network(node: SimNode): Network;
  /** True: it dies here. */
  atStep(node: SimNode, step: ExchangeStep, grant: GrantId): boolean;
  /** Its answer was sealed, and so is about to be kept. */
  sealed(grant: GrantId, link: LinkId): void;
  logged(line: readonly unknown[]): void;
  changed(): void;
  /** The last word on what it works with. */
  alter(parts: KeeperParts): KeeperParts;
}

const START_AGAIN_MS = 1_000;

export class SimNode {
  readonly id: string;
  readonly machine: Machine;
  readonly disk: JournalDisk;
  readonly #around: NodeSurroundings;
  readonly #waiting: (() => void)[] = [];
  #life: Life;
  #keeper: Keeper | null = null;
  #runs = 0;
  upAt = 0;

  constructor(id: string, around: NodeSurroundings) {
    this.id = id;
    this.#around = around;
    this.machine = { boot: `${id}-boot-1`, bootedAt: around.time.now(), skewMs: 0, wrongUntil: 0 };
    this.disk = new JournalDisk(around.time);
    this.#life = new Life(`${id}-run-0`, around.time);
    this.#life.end();
  }

  get life(): Life {
    return this.#life;
  }

  /** Null while it is down or starting. */
  get keeper(): Keeper | null {
    return this.#keeper;
  }

  /** Resolves with its keeper, once it has one. */
  async ready(): Promise<Keeper> {
    while (!this.#keeper) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
    return this.#keeper;
  }

  /** Starts the process, again and again until it comes up or dies. */
  async start(): Promise<void> {
    const life = new Life(`${this.id}-run-${++this.#runs}`, this.#around.time);
    this.#life = life;
    this.#around.changed();
    while (life.isAlive) {
      try {
        const keeper = await life.through(() => createKeeper(this.#around.alter(this.#parts(life))));
        if (this.#life === life && life.isAlive) this.#up(keeper);
        return;
      } catch (cause) {
        this.#around.logged([this.id, 'did not start', ...textsOf(cause)]);
        await this.#around.time.sleep(START_AGAIN_MS);
      }
    }
  }

  /** Dies now, and is started again after a while. */
  crash(downMs: number): void {
    if (!this.#life.isAlive) {
      this.upAt = Math.max(this.upAt, this.#around.time.now() + downMs);
      return;
    }
    this.#keeper = null;
    this.#life.end();
    this.upAt = this.#around.time.now() + downMs;
    this.#around.changed();
    this.#startWhenDue();
  }

  pause(ms: number): void {
    this.#life.pause(ms);
    this.#around.changed();
    this.#around.time.after(ms, () => this.#around.changed());
  }

  /** Its machine starts anew: uptime from zero, another boot. */
  reboot(): void {
    this.machine.boot = `${this.id}-boot-${this.#runs + 1}`;
    this.machine.bootedAt = this.#around.time.now();
  }

  #startWhenDue(): void {
    this.#around.time.at(this.upAt, () => {
      if (this.#life.isAlive) return;
      if (this.#around.time.now() < this.upAt) this.#startWhenDue();
      else void this.start();
    });
  }

  #up(keeper: Keeper): void {
    this.#keeper = keeper;
    this.#around.changed();
    for (const tell of this.#waiting.splice(0)) tell();
  }

  #parts(life: Life): KeeperParts {
    const { store, sealer, catalogue, chance, time } = this.#around;
    return {
      store: store.of(life),
      journal: this.disk.openOf(life),
      sealer: this.#watching(sealer),
      network: this.#around.network(this),
      clock: nodeClock(time, this.machine, life),
      random: chance,
      log: this.#log(),
      catalogue,
      node: this.id,
      folder: this.id,
      run: life.run,
      publicUrl: 'http://127.0.0.1:8787',
      onStep: (step, grant) => this.#reached(life, step, grant),
    };
  }

  #reached(life: Life, step: ExchangeStep, grant: GrantId): void | Promise<void> {
    if (!life.isAlive || this.#around.atStep(this, step, grant)) return forever();
    // It may have been paused within.
    return life.isPaused ? life.through(async () => undefined) : undefined;
  }

  #watching(sealer: Sealer): Sealer {
    return {
      ...sealer,
      seal: (secret, place) => {
        if (place.table === 'answers') {
          const [grant, link] = place.row.split('/') as [GrantId, LinkId];
          this.#around.sealed(grant, link);
        }
        return sealer.seal(secret, place);
      },
    };
  }

  #log(): Log {
    const write = (message: string, fields?: LogFields, cause?: unknown): void => {
      this.#around.logged([this.id, message, fields, ...textsOf(cause)]);
    };
    return { debug: () => undefined, info: write, warn: write, error: write };
  }
}

/** What a log would show of it, but for its stack, which names code alone. */
function textsOf(cause: unknown): readonly unknown[] {
  return cause instanceof Error ? [cause.name, cause.message, ...textsOf(cause.cause)] : [cause];
}
