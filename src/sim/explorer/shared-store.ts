/**
 * The store of the explored world: one chain, folded by the real `storage/fold`, its states numbered and its steps
 * remembered. What no rule looks at (counts for people, times of what is over) is left out of a state.
 */
import {
  type Attempt,
  type Chain,
  type ChainEvent,
  EMPTY_CHAIN,
  type Link,
  type Loss,
  type PastRefusal,
} from '../../core/chain.ts';
import type { LinkId } from '../../core/id.ts';
import type { Moment } from '../../core/instant.ts';
import { nextStep, SETTLED_WITHIN_MS, type Step } from '../../core/next-step.ts';
import { rejectsReuse } from '../../core/rotation-policy.ts';
import type { Fingerprint, Sealed } from '../../core/secret.ts';
import { fold, type Seen } from '../../storage/fold.ts';
import type { Subject } from './classes.ts';
import { createInterner, remembered, rememberedBy, rememberedOfTwo } from './interner.ts';
import { agedMoment, ageOf, decisionMoment, momentOfAge } from './moments.ts';
import { bit } from './provider.ts';

/** A chain, and the answers whose parent it does not know. */
export interface Stored {
  readonly chain: Chain;
  readonly orphans: readonly { readonly link: LinkId; readonly token: number }[];
}

export interface SharedStore {
  /** The chain right after its authorization, published. */
  readonly first: number;
  get(stored: number): Stored;
  /**
   * Appends under any version. `name` stands for the event, and for what follows from it at once: equal names, equal
   * events.
   */
  append(stored: number, name: string, event: () => ChainEvent, then?: (chain: Chain) => ChainEvent): number;
  /** As `append`, for a store that keeps only what came last. */
  overwrite(stored: number, name: string, event: () => ChainEvent): number;
  step(stored: number): Step;
  /** What would follow if nothing were left unread in journals. */
  hastyStep(stored: number): Step;
  /** All refresh tokens that it has, as bits. */
  tokens(stored: number): number;
  aged(stored: number, byMs: number): number;
  /** With its two nodes in each other's place. */
  swapped(stored: number): number;
}

export const NODES = ['A', 'B'] as const;
export const SEALED = 'sealed' as Sealed;

export function linkName(number: number): LinkId {
  return `lnk_${number}`;
}

export function tokenOf(fingerprint: Fingerprint | null): number {
  return Number(fingerprint);
}

export function fingerprintOf(token: number): Fingerprint {
  return `${token}` as Fingerprint;
}

export function createSharedStore(subject: Subject, isWhole: boolean): SharedStore {
  const { policy, timing } = subject;
  const all = createInterner<Stored>();
  const allLinks = createInterner<Link>();
  const allAttempts = createInterner<Attempt>();
  const remains = createInterner<Omit<Chain, 'links' | 'attempts'>>();
  const appended = rememberedBy();
  const overwritten = rememberedBy();
  const old = momentOfAge(timing?.oldMs ?? 0);
  const decidedAt = decisionMoment(subject);
  const spacingPastMs = policy.pacing.minSpacingMs + 3_000;
  const hasWindow = Number.isFinite(policy.overlap.windowMs) && policy.overlap.windowMs > 0;

  /** Chains share their parts, of which there are few. */
  function idOf({ chain, orphans }: Stored): number {
    const { links, attempts, ...remain } = essence(chain);
    const linkIds = links.map((one) => allLinks.id(JSON.stringify(one), () => one));
    const attemptIds = attempts.map((one) => allAttempts.id(JSON.stringify(one), () => one));
    const remainId = remains.id(JSON.stringify(remain), () => remain);
    const orphanKey = orphans.map(({ link, token }) => `${link}:${token}`).join();
    return all.id(`${linkIds.join()}|${attemptIds.join()}|${remainId}|${orphanKey}`, () => ({
      chain: { ...remains.get(remainId), links: linkIds.map(allLinks.get), attempts: attemptIds.map(allAttempts.get) },
      orphans,
    }));
  }

  function essence(chain: Chain): Chain {
    const { deferral } = chain;
    const last = chain.refusals?.at(-1);
    const isEarly = timing !== null && last?.means === 'too_early';
    const { refusals: _, hold: __, by: ___, ...rest } = chain;
    return {
      ...rest,
      authorizedAt: old,
      exchanges: 0,
      links: chain.links.map(essenceOfLink),
      attempts: chain.attempts.map(essenceOfAttempt),
      deferral: deferral && {
        ...deferral,
        said: null,
        count: Math.min(deferral.count, 4),
        since: capped(deferral.since, deferral.forMs),
      },
      ...(isEarly ? { refusals: [essenceOfRefusal(last)] } : {}),
      ...(chain.hold ? { hold: { ...chain.hold, since: old } } : {}),
      end:
        chain.end?.kind === 'broken' ? { kind: 'broken', diagnosis: { ...chain.end.diagnosis, ...UNTOLD } } : chain.end,
      stateSince: old.at,
    };
  }

  /** Of a row of refusals that came too early, only how long ago it began and ended is read again: to put off the next try. */
  function essenceOfRefusal(last: PastRefusal): PastRefusal {
    const { times, ...rest } = last;
    const [at, since] = [capped(last.at), capped(last.since)];
    const row = { ...rest, at, since, sentAt: capped(last.sentAt ?? last.since), afterAnswerMs: 0 };
    return isWhole && times !== undefined ? { ...row, times } : row;
  }

  function essenceOfLink(link: Link): Link {
    return {
      ...link,
      node: 'any',
      requestedAt: old,
      receivedAt: policy.pacing.minSpacingMs > 0 ? capped(link.receivedAt, spacingPastMs) : old,
      firstUsedAt: link.firstUsedAt && (hasWindow ? capped(link.firstUsedAt) : old),
      refusal: link.refusal && { ...link.refusal, at: capped(link.refusal.at) },
    };
  }

  function essenceOfAttempt(one: Attempt): Attempt {
    return { ...one, startedAt: capped(one.startedAt), lost: one.lost && essenceOfLoss(one.lost, one) };
  }

  /**
   * When an answer was lost counts for back-off and horizon, where a process saw it; after a crash the start of the attempt
   * counts instead; and where a spacing sets the pace, unless it stood still with it. How it was lost is for people, but for
   * that difference.
   */
  function essenceOfLoss(loss: Loss, { startedAt }: Attempt): Loss {
    if (isWhole) return { ...loss, at: capped(loss.at), said: null };
    const isPaced = policy.pacing.minSpacingMs > 0 && rejectsReuse(policy);
    const isPrompt = ageOf(startedAt) - ageOf(loss.at) <= SETTLED_WITHIN_MS;
    const isTimed = timing !== null && !(isPaced && isPrompt);
    const isSeen = isTimed && loss.reason !== 'crash';
    return { ...loss, at: isSeen ? capped(loss.at) : old, reason: isTimed ? loss.reason : 'crash', said: null };
  }

  function capped(moment: Moment, mostMs = Number.POSITIVE_INFINITY): Moment {
    return timing ? momentOfAge(Math.min(ageOf(moment), timing.oldMs, mostMs)) : old;
  }

  function append({ chain, orphans }: Stored, event: ChainEvent): Stored {
    const folded = fold({ version: 0, chain }, event, seen({ chain, orphans }, event));
    const orphan =
      folded.holder?.seen === 'orphan' ? [{ link: folded.holder.link, token: tokenOf(folded.holder.fingerprint) }] : [];
    const others = orphans.filter(
      (one) => !folded.chain.links.some((link) => link.id === one.link) && one.link !== orphan[0]?.link,
    );
    return { chain: folded.chain, orphans: [...others, ...orphan].toSorted((a, b) => a.token - b.token) };
  }

  function seen({ chain, orphans }: Stored, event: ChainEvent): Seen {
    if (event.type !== 'received') return null;
    if (chain.links.some((link) => link.id === event.link.id)) return 'joined';
    return orphans.some((one) => one.link === event.link.id) ? 'orphan' : null;
  }

  function keepNewest({ chain }: Stored): Stored {
    return { chain: { ...chain, links: chain.links.slice(-1) }, orphans: [] };
  }

  const step = remembered((id: number) => nextStep(all.get(id).chain, policy, decidedAt));
  const hastyStep = remembered((id: number) => nextStep(withoutUnread(all.get(id).chain), policy, decidedAt));
  const tokens = remembered((id: number) => {
    const { chain, orphans } = all.get(id);
    return [...chain.links.map((link) => tokenOf(link.fingerprint)), ...orphans.map((one) => one.token)].reduce(
      (bits, token) => bits | bit(token),
      0,
    );
  });
  const swapped = remembered((id: number) => {
    const { chain, orphans } = all.get(id);
    const attempts = chain.attempts.map((one) => ({ ...one, node: one.node === 'A' ? 'B' : 'A' }));
    return idOf({ chain: { ...chain, attempts }, orphans });
  });

  function aged(id: number, byMs: number): number {
    const { chain, orphans } = all.get(id);
    const older = (moment: Moment): Moment => agedMoment(moment, byMs, timing?.oldMs ?? 0);
    return idOf({ chain: agedChain(chain, older), orphans });
  }

  const first = firstChain();
  const older = rememberedOfTwo(aged);

  return {
    first: idOf({ chain: first, orphans: [] }),
    get: all.get,
    append: (id, name, event, then) =>
      appended(id, name, () => {
        const after = append(all.get(id), event());
        return idOf(then ? append(after, then(after.chain)) : after);
      }),
    overwrite: (id, name, event) => overwritten(id, name, () => idOf(keepNewest(append(all.get(id), event())))),
    step,
    hastyStep,
    tokens,
    aged: (id, byMs) => (timing ? older(id, byMs) : id),
    swapped,
  };

  function firstChain(): Chain {
    const id = linkName(0);
    const link = {
      id,
      fingerprint: fingerprintOf(0),
      node: 'any',
      requestedAt: old,
      receivedAt: old,
      accessTokenLifeMs: 600_000,
      scope: null,
    };
    const events: readonly ChainEvent[] = [
      { type: 'authorized', at: old, link, answer: SEALED, by: 'code' },
      { type: 'published', at: old, link: id },
    ];
    return events.reduce((chain, event) => fold({ version: 0, chain }, event, null).chain, EMPTY_CHAIN);
  }
}

const UNTOLD = { evidence: '', since: momentOfAge(0).at, said: null };

function withoutUnread(chain: Chain): Chain {
  const attempts = chain.attempts.map((one) => {
    if (!one.lost?.isUnread) return one;
    const { isUnread: _, ...lost } = one.lost;
    return { ...one, lost };
  });
  return { ...chain, attempts };
}

function agedChain(chain: Chain, older: (moment: Moment) => Moment): Chain {
  const { refusals, deferral } = chain;
  const agedRefusal = (one: PastRefusal): PastRefusal => ({
    ...one,
    at: older(one.at),
    since: older(one.since),
    ...(one.sentAt ? { sentAt: older(one.sentAt) } : {}),
  });
  return {
    ...chain,
    links: chain.links.map((link) => ({
      ...link,
      receivedAt: older(link.receivedAt),
      firstUsedAt: link.firstUsedAt && older(link.firstUsedAt),
      refusal: link.refusal && { ...link.refusal, at: older(link.refusal.at) },
    })),
    attempts: chain.attempts.map((one) => ({
      ...one,
      startedAt: older(one.startedAt),
      lost: one.lost && { ...one.lost, at: older(one.lost.at) },
    })),
    deferral: deferral && { ...deferral, since: older(deferral.since) },
    ...(refusals ? { refusals: refusals.map(agedRefusal) } : {}),
  };
}
