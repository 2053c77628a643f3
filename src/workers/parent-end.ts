/**
 * The parent's end of what connects it with one worker: does what the worker asks for, tells it what changed, and answers
 * its pings.
 *
 * State: whether the worker was heard since somebody last looked, and the requests to providers that it has under way.
 */
import type { GrantId } from '../core/id.ts';
import type { Shared } from '../http/shared.ts';
import type { Spent } from '../http/proxy-budget.ts';
import type { Issuer } from '../issuer/issuer.ts';
import type { LiveAccessToken, ServingKeeper, TokenWish } from '../keeper/keeper.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Change } from '../ports/store.ts';
import type { Announcing } from './announcing.ts';
import type { FromParent, FromWorker } from './messages.ts';
import { answerFrom, type Offer, type OfferedBudgets, type OfferedToken, type OfferedTokens } from './offer.ts';
import { fromWire, toWire } from './wire.ts';

/** What all workers have in common. */
export interface Common {
  readonly keeper: ServingKeeper;
  readonly issuer: Issuer;
  readonly shared: Shared;
  readonly announcing: Announcing;
  readonly clock: Clock;
  readonly log: Log;
  /** Resolves when everything that is ready now has been done. */
  readonly endOfTurn: () => Promise<void>;
  /** Grants whose access token somebody doubts just now, and how many do. */
  readonly doubted: Map<GrantId, number>;
}

export class ParentEnd {
  readonly #common: Common;
  readonly #send: (message: FromParent) => void;
  readonly #offer: Offer;
  readonly #spent = new Map<number, Spent>();
  readonly #unwatch: () => void;
  #wasHeard = false;
  #lastTaken = 0;

  constructor(common: Common, send: (message: FromParent) => void) {
    this.#common = common;
    this.#send = send;
    const hear = (change: Change): void => send({ is: 'change', change });
    const { outdated } = common.shared;
    const unwatch = [common.announcing.changes.watch(hear), outdated.watch((key) => send({ is: 'outdated', key }))];
    this.#unwatch = () => {
      for (const end of unwatch) end();
    };
    const { keeper, issuer, shared } = common;
    this.#offer = {
      keeper,
      apps: keeper.apps,
      grants: keeper.grants,
      authorizations: keeper.authorizations,
      apis: keeper.apis,
      journals: keeper.journals,
      issuer,
      clients: issuer.clients,
      authorize: issuer.authorize,
      records: common.announcing.recordsOf(hear),
      returns: shared.returns,
      tokens: tokensFor(common),
      budgets: this.#budgets(),
      outdated: { tell: async (key) => outdated.tell(key) },
      metrics: {
        async note({ fromMemory, tokens, requests }) {
          for (let i = 0; i < fromMemory; i++) shared.metrics.servedFromMemory();
          for (const one of tokens) shared.metrics.tokenRequest(...one);
          for (const one of requests) shared.metrics.request(...one);
        },
        text: () => shared.metrics.text(),
      },
    };
  }

  /** Whether anything came since this was last asked. */
  wasHeardSince(): boolean {
    const was = this.#wasHeard;
    this.#wasHeard = false;
    return was;
  }

  hear(message: FromWorker): void {
    this.#wasHeard = true;
    if (message.is === 'ping') {
      this.#send({ is: 'pong', id: message.id, heardAgoMs: this.#common.announcing.changes.heardAgoMs() });
    } else if (message.is === 'ask') void this.#answer(message.id, message.name, message.given);
  }

  /** The worker is gone. */
  close(): void {
    this.#unwatch();
    for (const spent of this.#spent.values()) spent.lost();
    this.#spent.clear();
  }

  async #answer(id: number, name: string, given: unknown): Promise<void> {
    try {
      const value = await answerFrom(this.#offer, name, fromWire(given) as readonly unknown[]);
      this.#send({ is: 'answer', id, value: toWire(value) });
    } catch (error) {
      this.#send({ is: 'refusal', id, error: toWire(error instanceof Error ? error : new Error(String(error))) });
    }
  }

  #budgets(): OfferedBudgets {
    const { shared, clock } = this.#common;
    const ended = (taken: number): Spent | undefined => {
      const spent = this.#spent.get(taken);
      this.#spent.delete(taken);
      return spent;
    };
    return {
      take: async (api, rest) => {
        const spent = await shared.budgets.take(api, rest, clock.now());
        if (!('answered' in spent)) return spent;
        const taken = ++this.#lastTaken;
        this.#spent.set(taken, spent);
        return taken;
      },
      answered: async (taken, status, headers) => ended(taken)?.answered(status, headers, clock.now()),
      lost: async (taken) => ended(taken)?.lost(),
    };
  }
}

/** Tokens with what a worker must know to go on by itself. */
function tokensFor({ keeper, announcing, clock, endOfTurn, doubted }: Common): OfferedTokens {
  async function offered(idOrAlias: string, ask: (grant: GrantId) => Promise<LiveAccessToken>): Promise<OfferedToken> {
    const { grant } = await keeper.apis.of(idOrAlias);
    const live = await ask(grant);
    // What was told of this chain until now has reached the keeper's own memory then, too.
    await endOfTurn();
    const current = doubted.has(grant) ? null : keeper.tokens.peek(grant, 0);
    const isCurrent = current?.accessToken.reveal() === live.accessToken.reveal();
    return { grant, live: isCurrent && current ? current : live, isCurrent, atMs: clock.moment().uptimeMs };
  }

  /** While somebody doubts a token, no worker serves it by itself: what comes of the doubt is told to none. */
  async function doubting<T>(grant: GrantId, work: () => Promise<T>): Promise<T> {
    doubted.set(grant, (doubted.get(grant) ?? 0) + 1);
    announcing.tell({ kind: 'chain', id: grant });
    try {
      return await work();
    } finally {
      const others = (doubted.get(grant) ?? 1) - 1;
      if (others > 0) doubted.set(grant, others);
      else doubted.delete(grant);
    }
  }

  return {
    get: (idOrAlias, wish: TokenWish) =>
      offered(idOrAlias, (grant) => {
        const get = () => keeper.tokens.get(grant, wish);
        return wish.rejected === undefined ? get() : doubting(grant, get);
      }),
    refresh: (idOrAlias) => offered(idOrAlias, (grant) => keeper.tokens.refresh(grant)),
    async look(idOrAlias) {
      const { grant } = await keeper.apis.of(idOrAlias);
      const live = await keeper.tokens.look(grant);
      return live && offered(grant, async () => live);
    },
    async nudge(grant) {
      keeper.tokens.peek(grant, 0);
    },
  };
}
