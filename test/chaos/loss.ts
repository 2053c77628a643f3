/**
 * Whether a chain that was lost could have been kept, by what the provider knows and the director did. A loss is
 * unavoidable only where the provider made an exchange whose answer never reached a process that lived long enough to
 * write it down, and its rules, or the time at which somebody could act, left no way to ask again.
 */
import { classOf } from '../../src/core/rotation-policy.ts';
import type { Account, Presentation } from './account.ts';
import { longestGap } from './time.ts';
import type { World } from './world.ts';

export interface Loss {
  readonly alias: string;
  readonly isAvoidable: boolean;
  readonly why: string;
}

/** Faults of which the answer never arrives, or says nothing. */
const ANSWER_LOST = new Set([
  'drop-after-commit',
  'hang',
  'reset-mid-body',
  'truncate-body',
  'http-500',
  'http-502',
  'http-503',
  'delay',
  'bad-json',
]);
/** From the provider's answer until it is in the journal: a moment, on a machine that is not busy. */
const WRITTEN_WITHIN_MS = 5_000;
/** At Exact Online a try every 20 s; elsewhere ten in a window. */
const SPACED_STEP_MS = 20_000;
/** On a cluster: until a node is missed, and its exchange is taken over. */
const TAKE_OVER_MS = 15_000;
/** What a step takes on a busy machine, and how coarse the director's clock jumps. */
const SLACK_MS = 5_000;

export function judgeLoss(world: World, account: Account, diagnosis: string): Loss {
  const { ring, presentations, authorizations } = account;
  const avoidable = (why: string): Loss => ({ alias: ring.alias, isAvoidable: true, why });
  const unavoidable = (why: string): Loss => ({ alias: ring.alias, isAvoidable: false, why });
  const since = Date.parse(authorizations.at(-1)?.time ?? '');
  const own = presentations.filter((one) => one.at >= since);
  const family = ring.provider.emulator.control.families().findLast((one) => one.user.toLowerCase() === ring.user);
  const lastReceived = own.findLastIndex(({ attempt }) => attempt?.outcome === 'tokens');
  const unheard = own.slice(lastReceived + 1).filter(({ entry }) => entry.issued.length > 0);
  if (unheard.length === 0) {
    const last = own.at(-1)?.entry;
    return avoidable(
      `every answer was kept; the last request was ${last?.decision} (${last?.reason}), family ${family?.revoked ?? 'alive'}`,
    );
  }
  const careless = unheard.find((one) => !isExcused(world, one));
  if (careless)
    return avoidable(`the answer to entry ${careless.entry.n} reached a process that lived on, and was not kept`);
  const written = world.writtenDown(ring);
  const forgotten = unheard.find((lost) => {
    const { at, entry } = lost;
    // What was written down then may say nothing.
    if (entry.fault !== null && ANSWER_LOST.has(entry.fault)) return false;
    // An answer to a later request is written down as well, a refusal too.
    const until = own[own.indexOf(lost) + 1]?.at ?? Number.POSITIVE_INFINITY;
    return written.some((when) => when >= at && when < until && world.time.realMs(at, when) < WRITTEN_WITHIN_MS);
  });
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
      return judgeWindow(rule.windowMs, unheard, own);
  }

  function judgeWindow(windowMs: number, lost: readonly Presentation[], tries: readonly Presentation[]): Loss {
    const opened = lost[0]?.at ?? 0;
    const { minSpacingMs } = ring.provider.policy.pacing;
    const [from, to] = [opened + minSpacingMs, opened + windowMs];
    const stepMs = minSpacingMs > 0 ? SPACED_STEP_MS : windowMs / 10;
    const tried = tries.map(({ at }) => ({ from: at, to: at }));
    const gap = longestGap(from, to, [...tried, ...world.nobodyThere()]);
    const why = `the answer was lost ${how(lost)}; the window was open for ${(to - from) / 1000} s`;
    const takeOverMs = world.nodes.length > 1 ? TAKE_OVER_MS : 0;
    if (gap <= stepMs + takeOverMs + SLACK_MS)
      return unavoidable(`${why}, and nobody could act in it, or each try was lost too`);
    return avoidable(`${why}, and for ${Math.round(gap / 1000)} s of it nothing was tried`);
  }
}

function isExcused(world: World, { at, entry, attempt }: Presentation): boolean {
  if (entry.fault !== null && ANSWER_LOST.has(entry.fault)) return true;
  const gone = world.away.filter(
    (one) => one.to >= at && world.time.realMs(at, Math.max(at, one.from)) < WRITTEN_WITHIN_MS,
  );
  return gone.length > 0 && attempt?.outcome !== 'tokens';
}

function how(lost: readonly Presentation[]): string {
  return lost.map(({ entry }) => (entry.fault === null ? 'with its process' : `by ${entry.fault}`)).join(', ');
}
