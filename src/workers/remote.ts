/**
 * The keeper and what all requests share, as a worker has them: asked of the parent, apart from access tokens that live
 * in memory, and counts, which go there together.
 */
import type { Shared, SharedBudgets } from '../http/shared.ts';
import type { AnswerHeaders } from '../http/proxy-headers.ts';
import type { Metrics } from '../http/metrics.ts';
import type { LiveAccessToken, ServingKeeper, Tokens } from '../keeper/keeper.ts';
import type { Clock } from '../ports/clock.ts';
import type { Link } from './link.ts';
import { askedOf, type Counts, type Offer, type OfferedMetrics, type OfferedToken } from './offer.ts';
import { TokenMemory } from './token-memory.ts';

/** While the parent does not answer, what was there goes on being served for so long, as by a node without its store. */
const SERVE_UNASKED_MS = 300_000;
const USUAL_MIN_TTL_MS = 5_000;
const COUNT_EVERY_MS = 1_000;
/** Of a provider's answer, what its budget is learned from. */
const LIMITS = /^(x-ratelimit-|retry-after$)/;

export function remoteOffer(link: Link): Offer {
  return askedOf((name, given) => link.ask(name, given));
}

export function remoteKeeper(link: Link, offer: Offer, clock: Clock): ServingKeeper {
  const { apps, grants, authorizations, apis, journals, keeper } = offer;
  const tokens = remoteTokens(link, offer.tokens, clock);
  return { apps, grants, authorizations, apis, journals, ...keeper, tokens };
}

function remoteTokens(link: Link, offered: Offer['tokens'], clock: Clock): Tokens {
  const memory = new TokenMemory(clock, (grant) => {
    offered.nudge(grant).catch(() => undefined);
  });
  link.watch((change) => memory.hear(change));

  async function kept(name: string, ask: () => Promise<OfferedToken>): Promise<LiveAccessToken> {
    const askedAtMs = clock.moment().uptimeMs;
    return memory.keep(name, await ask(), askedAtMs);
  }

  return {
    peek: (name, minTtlMs) => memory.peek(name, minTtlMs),

    async get(name, wish) {
      try {
        return await kept(name, () => offered.get(name, wish));
      } catch (cause) {
        const mayServe = link.isSilent && wish.rejected === undefined && link.heardAgoMs() < SERVE_UNASKED_MS;
        const live = mayServe ? memory.peek(name, wish.minTtlMs ?? USUAL_MIN_TTL_MS) : null;
        if (live) return live;
        throw cause;
      }
    },

    async look(name) {
      const askedAtMs = clock.moment().uptimeMs;
      const found = await offered.look(name);
      return found && memory.keep(name, found, askedAtMs);
    },

    refresh: (name) => kept(name, () => offered.refresh(name)),
  };
}

/** What is counted is told every second, and before it is read. */
export class RemoteMetrics implements Metrics {
  readonly contentType: string;
  readonly #offered: OfferedMetrics;
  #fromMemory = 0;
  #tokens: Counts['tokens'][number][] = [];
  #requests: Counts['requests'][number][] = [];

  constructor(offered: OfferedMetrics, contentType: string) {
    this.#offered = offered;
    this.contentType = contentType;
  }

  servedFromMemory(): void {
    this.#fromMemory++;
  }

  tokenRequest(outcome: string): void {
    this.#tokens.push([outcome]);
  }

  request(method: string, route: string, status: number, seconds: number): void {
    this.#requests.push([method, route, status, seconds]);
  }

  async text(): Promise<string> {
    await this.tell();
    return this.#offered.text();
  }

  async keepTelling(clock: Clock, stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      await clock.sleep(COUNT_EVERY_MS, stop);
      // A count that is lost is no reason for anything.
      await this.tell().catch(() => undefined);
    }
  }

  async tell(): Promise<void> {
    const counts = { fromMemory: this.#fromMemory, tokens: this.#tokens, requests: this.#requests };
    if (counts.fromMemory + counts.tokens.length + counts.requests.length === 0) return;
    this.#fromMemory = 0;
    this.#tokens = [];
    this.#requests = [];
    await this.#offered.note(counts);
  }
}

export function remoteShared(link: Link, offer: Offer, metrics: RemoteMetrics): Shared {
  const outdated = { tell: (key: string) => offer.outdated.tell(key), watch: link.watchOutdated.bind(link) };
  return { metrics, budgets: remoteBudgets(offer.budgets), returns: offer.returns, outdated };
}

function remoteBudgets(offered: Offer['budgets']): SharedBudgets {
  return {
    async take(api, rest) {
      const taken = await offered.take(api, rest);
      if (typeof taken !== 'number') return taken;
      // Nobody waits for these: they are told before whatever the same worker asks next.
      const told = (said: Promise<void>): void => void said.catch(() => undefined);
      return {
        answered: (status, headers) => told(offered.answered(taken, status, limitsIn(headers))),
        lost: () => told(offered.lost(taken)),
      };
    },
  };
}

function limitsIn(headers: AnswerHeaders): AnswerHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => LIMITS.test(name)));
}
