/**
 * Lets the faults strike, one at a time on each chain: the next only once the last one is over.
 *
 * Two answers lost in a row would end a chain at Exact Online by its own rules: by the time a third try is allowed, the
 * token has been in use for longer than it may be. No keeper can help there, so the demo does not play it. For the same
 * reason whatever strikes all chains at once waits until none of them is in doubt.
 */
import { pause } from '../../client/time.ts';
import type { Accounts } from './account.ts';
import type { Target } from './clients.ts';
import type { Strike } from './script.ts';
import type { Stage } from './stage.ts';

const LOOK_MS = 25;
/** Longer than an access token lives, so that every chain meets it. */
const AWAY_MS = 5_500;
/** A fault waits for the next exchange, and its end for the one after: 5 s and 5 s. */
const MOST_WAIT_MS = 30_000;

export class Director {
  readonly #stage: Stage;
  readonly #accounts: Accounts;
  readonly #stop: AbortSignal;
  /** How many chains have a fault to come or under way. */
  #playing = 0;
  /** Somebody wants all chains for itself. */
  #isReserved = false;

  constructor(stage: Stage, accounts: Accounts, stop: AbortSignal) {
    this.#stage = stage;
    this.#accounts = accounts;
    this.#stop = stop;
  }

  /** One chain's faults, in order. */
  async play(target: Target, script: readonly Strike[]): Promise<void> {
    for (const strike of script) {
      if (strike.kills) await this.#alone(() => this.#strike(target, strike));
      else await this.#beside(() => this.#strike(target, strike));
      if (this.#stop.aborted || this.#accounts.isBroken(target.user)) return;
    }
  }

  /** Nobody reaches the provider for a while. */
  async outage(): Promise<void> {
    await this.#alone(async () => {
      const { provider } = this.#stage;
      this.#accounts.note('away', 'the provider is away: connections are refused');
      const before = this.#accounts.servedInAll;
      await provider.goAway();
      await pause(AWAY_MS);
      await provider.comeBack();
      const served = this.#accounts.servedInAll - before;
      this.#accounts.note('back', `the provider is back; ${served} served meanwhile`);
    });
  }

  async #strike(target: Target, { spec, words, kills }: Strike): Promise<void> {
    const { user } = target;
    this.#accounts.announce(user, words);
    const before = this.#faults(user);
    this.#stage.provider.control.addFaults([{ ...spec, match: { endpoint: 'token', user } }]);
    await this.#until(() => this.#faults(user) > before);
    if (kills && !this.#stop.aborted) await this.#kill();
    await this.#until(() => !this.#accounts.isStruck(user) || this.#accounts.isBroken(user));
  }

  async #kill(): Promise<void> {
    this.#accounts.note('kill', 'kill -9: the server dies in mid-exchange');
    await this.#stage.killServer();
    await this.#stage.startServer();
    this.#accounts.note('restart', 'the server is up again, takes up what was begun');
  }

  #faults(user: string): number {
    return this.#accounts.all().find((account) => account.user === user)?.faults ?? 0;
  }

  async #beside(work: () => Promise<void>): Promise<void> {
    await this.#until(() => !this.#isReserved);
    this.#playing++;
    await work().finally(() => this.#playing--);
  }

  async #alone(work: () => Promise<void>): Promise<void> {
    await this.#until(() => !this.#isReserved);
    this.#isReserved = true;
    await this.#until(() => this.#playing === 0);
    await work().finally(() => {
      this.#isReserved = false;
    });
  }

  /** Keeps the account up to date while it waits. */
  async #until(isSo: () => boolean): Promise<void> {
    for (let waited = 0; waited < MOST_WAIT_MS && !this.#stop.aborted; waited += LOOK_MS) {
      this.#accounts.look();
      if (isSo()) return;
      await pause(LOOK_MS);
    }
  }
}
