/**
 * Access tokens for those who ask. Hot: from memory, without a write, a query or a lock. Cold: one exchange, whose
 * result everybody gets who asked meanwhile. A token that lives is served whatever else is wrong with the chain.
 */
import { createHash } from 'node:crypto';
import { type Chain, type ChainState, stateOf } from '../core/chain.ts';
import { DIAGNOSES } from '../core/diagnosis.ts';
import { type ErrorCode, EvergrantError } from '../core/errors.ts';
import { explainLiving } from '../core/doubt.ts';
import type { GrantId } from '../core/id.ts';
import type { Step } from '../core/next-step.ts';
import { Bell } from './bell.ts';
import type { Barred } from './cluster.ts';
import type { LiveAccessToken, Tokens, TokenWish } from './keeper.ts';
import type { ChainMinder } from './minder.ts';
import type { Minders } from './minders.ts';
import type { KeeperParts } from './parts.ts';
import { probeAccount } from './identity.ts';
import type { HeaderCredentials } from './schemes/header.ts';
import type { Upstreams } from './upstream.ts';

const MOST_WAIT_MS = 120_000;
const USUAL_MIN_TTL_MS = 5_000;
/** How often one request goes round: take steps, look, wait. Bounds what a strange provider can make us do. */
const MOST_ROUNDS = 50;
/** The exchange of another node is looked after this often, in case nobody tells that it ended. */
const OTHERS_PAUSE_MS = 1_000;

/** `stop`: aborted when the server is about to end; nobody is made to wait for a time to come then. */
export function tokens(
  parts: KeeperParts,
  minders: Minders,
  upstreams: Upstreams,
  headers: HeaderCredentials,
  stop: AbortSignal,
): Tokens {
  return {
    peek: (name, minTtlMs) => minders.known(name)?.peek(minTtlMs) ?? null,

    async get(name, wish) {
      const minder = await minders.of(name);
      const lasting = await headers.asToken(minder);
      if (lasting) return lasting;
      await minder.load();
      if (wish.rejected !== undefined) return afterRejection(parts, upstreams, minder, wish, wish.rejected, stop);
      return (await held(upstreams, minder, wish)) ?? fresh(parts, upstreams, minder, wish, stop);
    },

    async look(name) {
      const minder = await minders.of(name);
      await minder.load();
      return minder.live(0);
    },

    async refresh(name) {
      const minder = await minders.of(name);
      const lasting = await headers.asToken(minder);
      if (lasting) return lasting;
      await minder.load();
      const before = await minder.published();
      await advanceWithin(parts, minder, MOST_WAIT_MS, before);
      await minder.load();
      const live = minder.live(0);
      if (live && (await minder.published()) > before) return live;
      throw await refusal(parts, minder);
    },
  };
}

/** A token with the wished life: exchanged for, or waited for, within the wish's patience. */
async function fresh(
  parts: KeeperParts,
  upstreams: Upstreams,
  minder: ChainMinder,
  wish: TokenWish,
  stop: AbortSignal,
): Promise<LiveAccessToken> {
  if (wish.minTtlMs !== null) await assertPossible(upstreams, minder, wish.minTtlMs);
  // By the clock that nobody sets: a wall clock put back would make the caller wait for as long.
  const uptimeMs = (): number => parts.clock.moment().uptimeMs;
  const patienceEnds = uptimeMs() + Math.min(wish.waitMs, MOST_WAIT_MS);
  let seen = await minder.published();
  for (let round = 0; round < MOST_ROUNDS + wish.waitMs / OTHERS_PAUSE_MS; round++) {
    // While this caller waited, another one, or the chain's own alarm, may have done what is needed.
    const ready = round === 0 ? null : await held(upstreams, minder, wish);
    if (ready) return ready;
    const patienceMs = patienceEnds - uptimeMs();
    const isOver = await advanceWithin(parts, minder, patienceMs, seen).catch((cause: unknown) => {
      throw stop.aborted ? shuttingDown(minder.grant) : cause;
    });
    await minder.load();
    const live = await held(upstreams, minder, wish);
    if (live) return live;
    // What was got meanwhile does not live long enough: another one is wished for.
    seen = await minder.published();
    const step = await minder.step();
    const waitMs = waitOf(step);
    const left = patienceEnds - uptimeMs();
    if (step.step === 'await' && isOver && left > 0) {
      // Another node's exchange, or one of this node that outlives its asker.
      await minder.nextChange(Math.min(left, OTHERS_PAUSE_MS), stop);
      minder.forget();
      if (stop.aborted) throw shuttingDown(minder.grant);
      continue;
    }
    if (waitMs === null || waitMs > left || !isOver) throw await refusal(parts, minder);
    await parts.clock.sleep(waitMs, stop);
    if (stop.aborted) throw shuttingDown(minder.grant);
  }
  throw await refusal(parts, minder);
}

function shuttingDown(grant: GrantId): EvergrantError {
  return new EvergrantError('shutting_down', 'The server is stopping, and there is no token yet.', {
    remedy: 'Ask again after the time in Retry-After.',
    grant,
    retryAfterMs: DEFAULT_RETRY_MS,
  });
}

/** Takes steps, but no longer than the caller's patience: an exchange under way goes on without the caller. */
async function advanceWithin(
  parts: KeeperParts,
  minder: ChainMinder,
  patienceMs: number,
  seen: number,
): Promise<boolean> {
  const over = new Bell();
  const steps = minder.advance(seen).then(() => true);
  const patience = parts.clock.sleep(Math.max(0, patienceMs), over).then(() => false);
  try {
    return await Promise.race([steps, patience]);
  } finally {
    over.ring();
    steps.catch(() => undefined);
  }
}

function waitOf(step: Step): number | null {
  if (step.step === 'publish') return 0;
  return step.step === 'exchange' ? step.waitMs : null;
}

/** Life of the access tokens of this chain, as its newest answer or else the provider says; null: not known yet. */
async function lifeMs(upstreams: Upstreams, minder: ChainMinder): Promise<number | null> {
  const { chain } = await minder.stored();
  const { provider } = await upstreams.of(minder.app);
  return chain.links.at(-1)?.accessTokenLifeMs ?? provider.policy.life.accessTokenMs;
}

/** The token in memory, if it lives as long as wished. */
async function held(upstreams: Upstreams, minder: ChainMinder, wish: TokenWish): Promise<LiveAccessToken | null> {
  return minder.live(wish.minTtlMs ?? usualMinTtlMs(await lifeMs(upstreams, minder)));
}

function usualMinTtlMs(life: number | null): number {
  return Math.min(USUAL_MIN_TTL_MS, (life ?? Number.POSITIVE_INFINITY) / 2);
}

/** `min_ttl` above the whole life of this provider's tokens can never be met. */
async function assertPossible(upstreams: Upstreams, minder: ChainMinder, minTtlMs: number): Promise<void> {
  const { chain } = await minder.stored();
  // Without a living chain there is none of any life, and what has to be said is why.
  if (chain.end || chain.generation === 0) return;
  const life = await lifeMs(upstreams, minder);
  if (life === null || minTtlMs <= life) return;
  const { name } = (await upstreams.of(minder.app)).provider;
  throw new EvergrantError(
    'min_ttl_impossible',
    `An access token of ${name} lives ${Math.floor(life / 1000)} s; none can have ${Math.ceil(minTtlMs / 1000)} s left.`,
    { remedy: `Ask for a min_ttl below ${Math.floor(life / 1000)} seconds.`, grant: minder.grant },
  );
}

/**
 * The provider refused a token. If it is not the one that is served now, that one is the answer. If it is, the account
 * is asked: a token that works there stays, one that does not is served to nobody any more. Where nobody can be asked,
 * one exchange follows, and the token goes on serving others until it has succeeded.
 */
async function afterRejection(
  parts: KeeperParts,
  upstreams: Upstreams,
  minder: ChainMinder,
  wish: TokenWish,
  rejected: string,
  stop: AbortSignal,
): Promise<LiveAccessToken> {
  const live = minder.live(0);
  if (live && digest(live) === rejected) await minder.doubt(() => judge(parts, minder, live));
  return (await held(upstreams, minder, wish)) ?? fresh(parts, upstreams, minder, wish, stop);
}

async function judge(parts: KeeperParts, minder: ChainMinder, live: LiveAccessToken): Promise<void> {
  const upstream = await minder.upstream();
  if (!upstream.provider.identity) return minder.exchangeOnceFor(live.accessToken);
  const probe = await probeAccount(parts, upstream, live.accessToken);
  if (probe.kind === 'rejected') minder.reject(live.accessToken);
}

function digest(live: LiveAccessToken): string {
  return createHash('sha256').update(live.accessToken.reveal()).digest('base64url');
}

/** Why there is no token, as the contract's table has it. */
async function refusal(parts: KeeperParts, minder: ChainMinder): Promise<EvergrantError> {
  // Read anew: what the minder saw last lies before the exchange that may be under way.
  const { chain } = await parts.store.chains.read(minder.grant);
  const said = refusalCode(chain);
  const barred = MAY_BE_BARRED.has(stateOf(chain)) ? await minder.barred() : null;
  const code = barred && said !== 'in_doubt' ? 'held' : said;
  const waitMs = barred?.atMostMs ?? waitOf(await minder.step());
  const diagnosis =
    chain.end?.kind === 'broken'
      ? chain.end.diagnosis
      : explainLiving(chain, (await minder.upstream()).provider.policy, parts.clock.moment());
  const texts = barred ? BARRED[barred.because] : TEXTS[code];
  return new EvergrantError(code, texts.detail, {
    remedy: diagnosis && !barred ? DIAGNOSES[diagnosis.code].remedy : texts.remedy,
    grant: minder.grant,
    ...(diagnosis ? { diagnosis } : {}),
    ...(code === 'authorization_required' ? { renewUrl: renewUrl(parts, minder.grant) } : {}),
    ...(ERRORS_WITH_RETRY.has(code) ? { retryAfterMs: waitMs ?? DEFAULT_RETRY_MS } : {}),
  });
}

const MAY_BE_BARRED: ReadonlySet<ChainState> = new Set(['active', 'waiting', 'in_doubt']);
const DEFAULT_RETRY_MS = 1_000;
const ERRORS_WITH_RETRY: ReadonlySet<ErrorCode> = new Set([
  'in_doubt',
  'too_early',
  'upstream_unavailable',
  'held',
  'recovering',
]);

function renewUrl(parts: KeeperParts, grant: GrantId): string {
  return `${parts.publicUrl}/grants/${grant}`;
}

type RefusalCode = keyof typeof TEXTS;

const TEXTS = {
  authorization_pending: {
    detail: 'Nobody has opened the authorization link of this grant and allowed access yet.',
    remedy: 'Open the authorization link, or ask for a new one: evergrant grants renew ALIAS',
  },
  authorization_required: { detail: 'The chain of refresh tokens is broken.', remedy: 'Renew the grant.' },
  grant_revoked: {
    detail: 'The grant was ended here.',
    remedy: 'Connect the account again: evergrant connect PROVIDER',
  },
  in_doubt: {
    detail:
      'An exchange was sent and its answer has not arrived; the same token is presented again when the rules allow it.',
    remedy: 'Ask again after the time in Retry-After.',
  },
  too_early: {
    detail: 'The provider allows no exchange yet, and no present token lives that long.',
    remedy: 'Ask again after the time in Retry-After, or with a smaller min_ttl.',
  },
  upstream_unavailable: {
    detail: 'The provider cannot be reached or does not answer as a token endpoint should.',
    remedy: 'Ask again after the time in Retry-After.',
  },
  recovering: { detail: 'The grant is being recovered.', remedy: 'Ask again after the time in Retry-After.' },
  held: {
    detail: 'Nothing may be presented before the journal of another node is merged.',
    remedy: 'Start that node, or merge its journal.',
  },
} as const;

/** Why this node starts no exchange that the chain would be ready for. */
const BARRED = {
  apart: {
    detail: 'This node has just joined the others, or lost its place among them: it brings in its journal first.',
    remedy: 'Ask again after the time in Retry-After.',
  },
  woken: {
    detail:
      'All nodes were down, and not all are back. One of those may know that the database was restored; an older refresh token would then end the chain.',
    remedy:
      'Start the other nodes, or give up those that will not come back; or ask again after the time in Retry-After.',
  },
  restored: {
    detail:
      'The database was restored from an older backup. What was sent before that may still be on its way, and a second presentation would end the chain.',
    remedy: 'Ask again after the time in Retry-After.',
  },
} as const satisfies Record<Barred['because'], { readonly detail: string; readonly remedy: string }>;

function refusalCode(chain: Chain): RefusalCode {
  const state = stateOf(chain);
  switch (state) {
    case 'pending':
      return 'authorization_pending';
    case 'broken':
      return 'authorization_required';
    case 'revoked':
      return 'grant_revoked';
    case 'waiting':
      return chain.deferral?.why === 'too_early' ? 'too_early' : 'upstream_unavailable';
    case 'active':
      return 'too_early';
    case 'in_doubt':
    case 'recovering':
    case 'held':
      return state;
  }
}
