/**
 * Takes an undecided chain on although nobody asks: each step when it is due, until it is decided.
 *
 * States: silent ──set──▶ waiting for the next step ──due──▶ taking it ──▶ waiting …; ──nothing is open──▶ silent.
 */
import type { GrantId } from '../core/id.ts';
import type { KeeperParts } from './parts.ts';

/** Between tries that fail. Short: the window of Exact Online is half a minute wide. */
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;

export interface AlarmHooks {
  /** When the next step of the chain is due; null where nothing is open, or another run's answer decides. */
  dueInMs(): Promise<number | null>;
  advance(): Promise<void>;
}

export class Alarm {
  readonly #parts: KeeperParts;
  readonly #grant: GrantId;
  readonly #hooks: AlarmHooks;
  readonly #stop: AbortSignal;
  isSet = false;

  constructor(parts: KeeperParts, grant: GrantId, hooks: AlarmHooks, stop: AbortSignal) {
    this.#parts = parts;
    this.#grant = grant;
    this.#hooks = hooks;
    this.#stop = stop;
  }

  set(): void {
    if (this.isSet || this.#stop.aborted) return;
    this.isSet = true;
    void this.#ring();
  }

  /** A store that fails meanwhile is asked again. Never rejects. */
  async #ring(): Promise<void> {
    for (let pauseMs = FIRST_PAUSE_MS; !this.#stop.aborted; ) {
      try {
        const waitMs = await this.#hooks.dueInMs();
        if (waitMs === null) {
          this.isSet = false;
          return;
        }
        if (waitMs > 0) await this.#parts.clock.sleep(waitMs, this.#stop);
        else await this.#hooks.advance();
        pauseMs = FIRST_PAUSE_MS;
      } catch (cause) {
        this.#parts.log.error('A chain in doubt could not go on; trying again.', { grant: this.#grant }, cause);
        await this.#parts.clock.sleep(pauseMs, this.#stop);
        pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 2);
      }
    }
  }
}
