/**
 * Those who ask for access tokens. Each has one grant at a time; when its chain is lost, it begins another one, as a
 * person would.
 */
import { EvergrantError } from '../core/errors.ts';
import type { Instant } from '../core/instant.ts';
import { Secret } from '../core/secret.ts';
import type { Grant, Keeper, LiveAccessToken } from '../keeper/keeper.ts';
import type { Chance } from './chance.ts';
import type { Life } from './life.ts';
import type { SimNode } from './node.ts';
import type { ChainTruth } from './truth.ts';
import type { World } from './world.ts';

const MIN_TTL_MS = 5_000;
const WAIT_MS = 30_000;
/** An answer must come within the wait, and this for what the store takes. */
const DEADLINE_MS = WAIT_MS + 30_000;
const MOST_LIFE_MS = 86_400_000;
/** Once faults have stopped, a living chain gives a token within this. */
const RECOVERY_MS = 3 * 3_600_000;

type Answer = LiveAccessToken | EvergrantError | 'ended' | 'hung' | Error;

export class Clients {
  readonly #world: World;
  readonly #chance: Chance;
  readonly #slots: (ChainTruth | null)[] = [];
  #made = 0;
  #app: string | null = null;

  constructor(world: World, chance: Chance) {
    this.#world = world;
    this.#chance = chance;
  }

  begin(count: number): void {
    for (let slot = 0; slot < count; slot++) {
      this.#slots.push(null);
      void this.#occupy(slot);
    }
  }

  /** Faults have stopped: everyone asks until there is a token, or a person is needed. */
  async recoverAll(): Promise<void> {
    const { time } = this.#world;
    const chains = this.#slots.filter((one) => one !== null);
    await time.until(Promise.all(chains.map((chain) => this.#recover(chain))), 4 * RECOVERY_MS);
  }

  async #occupy(slot: number): Promise<void> {
    const { time } = this.#world;
    await time.sleep(this.#chance.between(0, 60_000));
    while (!this.#world.isQuiet) {
      const chain = await this.#connect();
      this.#slots[slot] = chain;
      if (this.#world.options.isIdle) return;
      while (!this.#world.isQuiet && !chain.isOver) await time.sleep(this.#pause(chain, await this.#askAll(chain)));
      // The judge looks at it first.
      await time.sleep(1_000);
      if (chain.isOver) {
        this.#slots[slot] = null;
        this.#world.forgetChain(chain);
      }
    }
  }

  async #recover(chain: ChainTruth): Promise<void> {
    const { time, judges } = this.#world;
    const from = time.now();
    let expected: number = from;
    while (!chain.isOver && time.now() - from < RECOVERY_MS) {
      const answer = await this.#ask(chain);
      const issuedAt = isToken(answer) ? this.#world.upstream.issuedAt(answer.accessToken.reveal()) : null;
      if (issuedAt !== null && issuedAt >= from) {
        const late = Math.max(0, issuedAt - Math.max(from, expected));
        judges.slowestRecoveryMs = Math.max(judges.slowestRecoveryMs, late);
        // What follows in the background.
        await time.sleep(5_000);
        return;
      }
      // A token that lives on is no sign of recovery: the next one is waited for.
      if (isToken(answer)) expected = time.now() + Math.min(answer.leftMs, MOST_LIFE_MS);
      await time.sleep(isToken(answer) ? Math.max(1_000, Math.min(answer.leftMs, MOST_LIFE_MS) - MIN_TTL_MS) : 5_000);
    }
    if (chain.isOver) return;
    const verdict = this.#world.verdict(chain);
    const what = verdict.kind === 'avoidable' ? 'it could go on' : `it is lost (${verdict.why}) and nobody says so`;
    judges.violated('I5', time.now(), `${chain.account} gives no token although faults have stopped: ${what}`);
  }

  /** A new account's first token, brought to some node. Whatever fails is tried again. */
  async #connect(): Promise<ChainTruth> {
    const { time, world } = { time: this.#world.time, world: this.#world };
    const chain = world.newChain(`a${this.#made++}`);
    chain.alias = chain.account;
    const obtainedAt = time.now();
    for (;;) {
      const node = await this.#node();
      const keeper = await node.ready();
      const done = await this.#imported(keeper, chain, obtainedAt, node.life);
      if (typeof done === 'object') {
        chain.grant = done.id;
        world.byGrant.set(done.id, chain);
        return chain;
      }
      await time.sleep(1_000);
    }
  }

  /** Nothing comes of it where the node dies meanwhile. */
  async #imported(keeper: Keeper, chain: ChainTruth, obtainedAt: Instant, life: Life): Promise<Grant | 'failed'> {
    const first = Promise.withResolvers<Grant | 'failed'>();
    const forget = life.onEnd(() => first.resolve('failed'));
    void this.#import(keeper, chain, obtainedAt).then(first.resolve);
    const done = await first.promise;
    forget();
    return done;
  }

  async #import(keeper: Keeper, chain: ChainTruth, obtainedAt: Instant) {
    try {
      this.#app ??= (
        await keeper.apps.create({
          provider: 'simulated',
          clientId: 'client',
          clientSecret: new Secret('client secret', 'client-secret-canary'),
        })
      ).id;
      return await keeper.grants.import({
        app: this.#app,
        alias: chain.alias,
        refreshToken: new Secret('refresh token', chain.tokens[0]?.token ?? ''),
        obtainedAt,
        takeover: false,
      });
    } catch (cause) {
      if (cause instanceof EvergrantError && ['already_held', 'alias_taken'].includes(cause.code)) {
        return keeper.grants.get(chain.alias).catch(() => 'failed' as const);
      }
      if (cause instanceof EvergrantError && cause.code === 'not_found') this.#app = null;
      return 'failed' as const;
    }
  }

  /** Some node that is up. */
  async #node(): Promise<SimNode> {
    const { nodes, time } = this.#world;
    for (;;) {
      const node = this.#oneOf(nodes);
      if (node) return node;
      await Promise.race(nodes.map((one) => one.ready()));
      await time.sleep(10);
    }
  }

  #oneOf(nodes: readonly SimNode[]): SimNode | null {
    const up = nodes.filter((node) => node.keeper);
    return up.length > 0 ? this.#chance.pick(up) : null;
  }

  /** All callers of this grant at once; the answer to one of them. */
  async #askAll(chain: ChainTruth): Promise<Answer> {
    const { callers = 1 } = this.#world.options;
    if (callers === 1) return this.#ask(chain);
    const others = Array.from({ length: callers - 1 }, () => this.#ask(chain));
    const answer = await this.#ask(chain);
    await Promise.all(others);
    return answer;
  }

  async #ask(chain: ChainTruth): Promise<Answer> {
    const { time, judges } = this.#world;
    const node = this.#oneOf(this.#world.nodes) ?? (await this.#node());
    const { life, keeper } = node;
    if (!keeper) return 'ended';
    const from = time.now();
    judges.asked++;
    const given = keeper.tokens.get(chain.alias, { minTtlMs: MIN_TTL_MS, waitMs: WAIT_MS }).catch((cause: unknown) => {
      return cause instanceof Error ? cause : new Error(String(cause));
    });
    const answer = await this.#before(DEADLINE_MS, life, given);
    this.#judge(chain, node, answer, from);
    return answer;
  }

  /** The answer; or that none came, because its node died, or in all that time after its last pause. */
  async #before(mostMs: number, life: Life, given: Promise<Answer>): Promise<Answer> {
    const { time } = this.#world;
    const first = Promise.withResolvers<Answer>();
    const from = time.now();
    const ring = (): void => {
      const end = Math.max(from, life.pausedUntil) + mostMs;
      if (time.now() >= end) first.resolve('hung');
      else alarm = time.at(end, ring);
    };
    let alarm = time.after(mostMs, ring);
    const forget = life.onEnd(() => first.resolve('ended'));
    void given.then(first.resolve);
    const answer = await first.promise;
    alarm.run = null;
    forget();
    return answer;
  }

  #judge(chain: ChainTruth, node: SimNode, answer: Answer, from: number): void {
    const { time, judges, upstream } = this.#world;
    const now = time.now();
    if (answer === 'hung') {
      judges.violated('I16', now, `${chain.account} was left without an answer for ${now - from} ms`);
    }
    if (isToken(answer)) {
      judges.served++;
      this.#judgeToken(chain, node, answer);
      if (this.#chance.occurs(this.#world.options.apiUse ?? 0.3)) upstream.useAccessToken(answer.accessToken.reveal());
    } else if (answer instanceof Error) {
      judges.refused++;
      // It was connected after the backup that the store went back to: nothing knows it any more.
      if (answer instanceof EvergrantError && answer.code === 'not_found') chain.isOver = true;
      judges.refusedWith(answer instanceof EvergrantError ? answer.code : `not ours: ${answer.message}`);
    }
  }

  #judgeToken(chain: ChainTruth, node: SimNode, answer: LiveAccessToken): void {
    const { time, judges, upstream } = this.#world;
    const given = upstream.entries(chain.account).findLast((one) => one.accessToken === answer.accessToken.reveal());
    const made = chain.tokens.findLast((one) => one.token === given?.issued);
    if (made && !made.wasKept)
      judges.violated('I1', time.now(), `${node.id} served ${chain.account} what it had not kept`);
    const left = upstream.leftOf(answer.accessToken.reveal());
    const { nodes, storeLatencyMs = 0 } = this.#world.options;
    // Each node knows the store's clock, by which they agree, to half of what a call takes and half a millisecond.
    const errorMs = nodes > 1 ? storeLatencyMs + 1 : 0;
    if (left === null || left >= MIN_TTL_MS - errorMs || chain.endedBy || chain.forgottenAt !== null) return;
    judges.violated('I11', time.now(), `${node.id} served a token of ${chain.account} that lives for ${left} ms`);
  }

  #pause(chain: ChainTruth, answer: Answer): number {
    if (chain.isOver) return 0;
    if (isToken(answer)) {
      const left = Math.min(answer.leftMs, 86_400_000);
      // Mostly just after its end; at times while it lives.
      return this.#chance.occurs(0.8)
        ? Math.max(0, left - MIN_TTL_MS) + this.#chance.between(1, 20_000)
        : Math.floor(left * this.#chance.share()) + 1;
    }
    if (answer instanceof EvergrantError)
      return Math.min(60_000, Math.max(1_000, answer.details.retryAfterMs ?? 0)) + 1;
    return this.#chance.between(500, 10_000);
  }
}

function isToken(answer: Answer): answer is LiveAccessToken {
  return typeof answer === 'object' && !(answer instanceof Error);
}
