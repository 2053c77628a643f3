/**
 * Whether a chain that was lost could have been kept, by what the provider knows and the director did. A loss is
 * unavoidable only where the provider made an exchange whose answer never reached a process that lived long enough to
 * write it down, and its rules, or the time at which somebody could act, left no way to ask again.
 */
import { REQUEST_TIMEOUT_MS } from '../../src/core/next-step.ts';
import { classOf } from '../../src/core/rotation-policy.ts';
import type { Account, Presentation } from './account.ts';
import { SLOW_MS } from './harms.ts';
import { longestGap, type RealTime, type Span } from './time.ts';
import type { Absence } from './world.ts';

export interface Loss {
  readonly alias: string;
  readonly isAvoidable: boolean;
  readonly why: string;
}

/** What is known of a world that lost a chain; of its processes, as far as they did something for this chain. */
export interface Scene {
  readonly time: RealTime;
  readonly away: readonly (Span & { readonly node: string; readonly how: Absence })[];
  /** Times at which nobody could act. */
  readonly nobodyThere: readonly Span[];
  /** Time that was jumped over by more than a window, and from when on an exchange may have been struck by that. */
  readonly blows: readonly Span[];
  /** When a process had an answer in its hands, and when it had written one down, by its own word. */
  readonly received: readonly number[];
  readonly written: readonly number[];
  /** When the client was answered, by the world's clock and by ours. */
  readonly heard: readonly { readonly at: number; readonly ms: number }[];
}

/** Faults of which no answer arrives, or one that says nothing of tokens. A late one arrives, and so does a cut one. */
const ANSWER_LOST = new Set(['drop-after-commit', 'hang', 'reset-mid-body', 'http-500']);
/** From an answer in the hands of a process until it is in the journal: a moment, on a machine that is not busy. */
const WRITTEN_WITHIN_MS = 5_000;
/** From the provider's answer until it is in those hands: the same moment, and what a busy machine makes of it. */
const ARRIVES_WITHIN_MS = 30_000;
/** At Exact Online a try every 20 s; elsewhere ten in a window. */
const SPACED_STEP_MS = 20_000;
/** On a cluster: until a node is missed, and its exchange is taken over. */
const TAKE_OVER_MS = 15_000;
/** What a step takes on a busy machine, and how coarse the director's clock jumps. */
const SLACK_MS = 5_000;
/** A client asks all the time: who is answered by nobody for so long asks a machine that does nothing. */
const STALLED_MS = 5_000;

export function judgeLoss(scene: Scene, account: Account, diagnosis: string): Loss {
  const { ring, presentations, authorizations } = account;
  const avoidable = (why: string): Loss => ({ alias: ring.alias, isAvoidable: true, why });
  const unavoidable = (why: string): Loss => ({ alias: ring.alias, isAvoidable: false, why });
  const since = Date.parse(authorizations.at(-1)?.time ?? '');
  const own = presentations.filter((one) => one.at >= since);
  const lastReceived = own.findLastIndex(({ attempt }) => attempt?.outcome === 'tokens');
  const unheard = own.slice(lastReceived + 1).filter(({ entry }) => entry.issued.length > 0);
  if (unheard.length === 0) {
    const last = own.at(-1)?.entry;
    return avoidable(`every answer was kept; the last request was ${last?.decision} (${last?.reason})`);
  }
  const careless = unheard.find((one) => !isExcused(one));
  if (careless)
    return avoidable(`the answer to entry ${careless.entry.n} reached a process that lived on, and was not kept`);
  const forgotten = unheard.find((one) => !isLost(one) && marked(scene.written, one) !== undefined);
  if (forgotten)
    return avoidable(`the answer to entry ${forgotten.entry.n} was written down, and is not there any more`);
  if (diagnosis !== 'successor_lost') return avoidable(`the diagnosis is ${diagnosis}, and an answer was lost`);
  const rule = classOf(ring.provider.policy);
  switch (rule.class) {
    case 'durable':
    case 'until-successor-used':
      return avoidable('an answer was lost, and the same token could be presented again');
    case 'last-n':
      return unheard.length >= rule.depth
        ? unavoidable(`${unheard.length} answers in a row were lost, and the last ${rule.depth} tokens live`)
        : avoidable(`only ${unheard.length} answers were lost, and the last ${rule.depth} tokens live`);
    case 'one-time':
    case 'one-time-revoking':
      return unavoidable(`the answer was lost ${how(unheard)}, and each token is good once`);
    case 'window':
    case 'until-successor-used-within':
      return judgeWindow(rule.windowMs);
  }

  function judgeWindow(windowMs: number): Loss {
    const opened = unheard[0]?.at ?? 0;
    const { minSpacingMs } = ring.provider.policy.pacing;
    const [from, to] = [opened + minSpacingMs, opened + windowMs];
    const stepMs = minSpacingMs > 0 ? SPACED_STEP_MS : windowMs / 10;
    const tried = own.map(({ at }) => ({ from: at, to: at }));
    const struck = scene.blows.filter((blow) => blow.from <= opened && opened <= blow.to);
    const gap = longestGap(from, to, [...tried, ...scene.nobodyThere, ...missed(), ...stalls(scene.heard), ...struck]);
    const why = `the answer was lost ${how(unheard)}; the window was open for ${(to - from) / 1000} s`;
    if (gap <= stepMs + SLACK_MS) return unavoidable(`${why}, and nobody could act in it, or each try was lost too`);
    return avoidable(`${why}, and for ${Math.round(gap / 1000)} s of it nothing was tried`);
  }

  /** Until others know that whoever had sent a request is gone. */
  function missed(): readonly Span[] {
    const holders = new Set(unheard.map(({ attempt }) => attempt?.node));
    return scene.away
      .filter(({ node }) => holders.has(node))
      .map(({ from, to }) => ({ from, to: Math.min(to, from + TAKE_OVER_MS) }));
  }

  /** The first of these times after the request, and before the next one: its answer is written down as well. */
  function marked(times: readonly number[], { at, entry }: Presentation): number | undefined {
    const until = own.find((one) => one.entry.n > entry.n)?.at ?? Number.POSITIVE_INFINITY;
    return times.find((when) => when >= at && when < until);
  }

  /** Whether it was the fault, or the end of the very process that waited for it, that this answer was not kept. */
  function isExcused(lost: Presentation): boolean {
    const { at, entry, attempt } = lost;
    if (isLost(lost)) return true;
    if (!attempt || attempt.outcome === 'tokens') return false;
    const arrivedAt = at + (entry.fault === 'delay' ? SLOW_MS : 0);
    const receivedAt = marked(scene.received, lost);
    const gone = scene.away.filter(({ node, to }) => node === attempt.node && to >= at);
    return gone.some(({ how: why, from, to }) => {
      const sinceMs = (when: number) => scene.time.realMs(when, Math.max(when, from));
      // Who stands still for longer than a request may take finds its limit over when it goes on.
      if (why === 'frozen') return sinceMs(arrivedAt) < WRITTEN_WITHIN_MS && to >= at + REQUEST_TIMEOUT_MS;
      if (why !== 'killed' || attempt.outcome === 'no_answer') return false;
      return receivedAt === undefined
        ? sinceMs(arrivedAt) < ARRIVES_WITHIN_MS
        : sinceMs(receivedAt) < WRITTEN_WITHIN_MS;
    });
  }
}

function isLost({ entry }: Presentation): boolean {
  return entry.fault !== null && ANSWER_LOST.has(entry.fault);
}

function stalls(heard: Scene['heard']): readonly Span[] {
  return heard.flatMap((one, i) => {
    const before = heard[i - 1];
    return before && one.ms - before.ms > STALLED_MS ? [{ from: before.at, to: one.at }] : [];
  });
}

function how(lost: readonly Presentation[]): string {
  return lost.map(({ entry }) => (entry.fault === null ? 'with its process' : `by ${entry.fault}`)).join(', ');
}
