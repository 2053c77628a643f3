/**
 * What is promised, by class of policy and kind of fault, and what a run showed of it. A promise is one of: `kept`, no
 * chain is lost; `bounded`, a chain is lost only outside the bound that is named; `not`, nobody could keep it.
 */
import type { Sealer } from '../ports/sealer.ts';
import { type Figures, newFigures, runCampaign } from './campaign.ts';
import { ALL_FAULTS, FAULTS, type Fault } from './faults.ts';
import { canStrike, SIMULATED_POLICIES, type SimulatedPolicy } from './policies.ts';

export type Promised = 'kept' | 'bounded' | 'not';

export interface Cell {
  readonly policy: string;
  readonly fault: Fault;
  readonly promised: Promised;
  /** The bound, in words; empty where there is none. */
  readonly bound: string;
}

/** Answers that were made and never came, whatever the reason. */
const UNHEARD: readonly Fault[] = [
  'answer_lost',
  'answer_cut_early',
  'crash_after_processing',
  'crash_at_receipt',
  'server_error_after',
];
/** Outages in which an answer may be lost beside, because they stop the node that waits for it, or its retries. */
const DOUBLED: readonly Fault[] = ['duplicate_delivery', 'request_late'];
const ENDED: readonly Fault[] = ['copies_destroyed', 'long_absence', 'revoked'];

export function promiseOf({ name }: Pick<SimulatedPolicy, 'name'>, fault: Fault): Omit<Cell, 'policy' | 'fault'> {
  if (ENDED.includes(fault)) {
    const isUntouched = name === 'durable' && fault === 'copies_destroyed';
    return isUntouched ? kept() : { promised: 'not', bound: ENDS[fault] ?? '' };
  }
  if (fault === 'used_elsewhere') {
    return name === 'durable' || name === 'last-n'
      ? kept()
      : { promised: 'not', bound: 'the other system has the chain' };
  }
  if (fault === 'provider_restored') {
    if (name === 'durable') return kept();
    // What punishes reuse is not asked about older ones.
    const isPunished = name === 'window' || name === 'one-time-revoking';
    const taken = isPunished ? 'the newest token' : 'one of the newest eight tokens';
    return { promised: 'bounded', bound: `while it still takes ${taken}` };
  }
  if (fault === 'chain_unknown') return { promised: 'bounded', bound: 'unless it says so twice in a row' };
  if (UNHEARD.includes(fault)) return unheard(name, fault);
  if (DOUBLED.includes(fault)) return doubled(name, fault);
  return kept();
}

const ENDS: Readonly<Partial<Record<Fault, string>>> = {
  copies_destroyed: 'no copy is left',
  long_absence: 'it expires unused',
  revoked: 'the owner wished it',
};

function kept(): Omit<Cell, 'policy' | 'fault'> {
  return { promised: 'kept', bound: '' };
}

function unheard(name: string, fault: Fault): Omit<Cell, 'policy' | 'fault'> {
  switch (name) {
    case 'window':
      return { promised: 'bounded', bound: 'if a retry is answered within the window' };
    case 'exact-online':
      return { promised: 'bounded', bound: 'if a retry is answered 570 to 600 s after it' };
    case 'one-time':
    case 'one-time-revoking':
      return { promised: 'not', bound: fault === 'crash_at_receipt' ? 'a millisecond wide' : 'the answer is gone' };
    default:
      return kept();
  }
}

function doubled(name: string, fault: Fault): Omit<Cell, 'policy' | 'fault'> {
  switch (name) {
    case 'one-time':
      return { promised: 'bounded', bound: 'if the first answer arrives' };
    case 'one-time-revoking':
      return { promised: 'not', bound: 'the provider takes it for theft' };
    case 'window':
      return { promised: 'bounded', bound: 'if both come within the window' };
    case 'exact-online':
      return {
        promised: 'bounded',
        bound: `if ${fault === 'request_late' ? 'it is' : 'a retry is'} answered within the window`,
      };
    default:
      return kept();
  }
}

export interface Shown {
  readonly cell: Cell;
  readonly figures: Figures;
}

/** Runs each cell alone, and says of each what came of it. */
export async function showPromises(
  how: {
    readonly seed: string;
    readonly exchanges: number;
    readonly sealer: Sealer;
    readonly breathe?: () => Promise<void>;
  },
  policies: readonly SimulatedPolicy[] = SIMULATED_POLICIES,
): Promise<readonly Shown[]> {
  const shown: Shown[] = [];
  for (const policy of policies) {
    for (const fault of ALL_FAULTS) {
      if (!canStrike(fault, policy.policy)) continue;
      // One grant, so that what kills a node strikes no second exchange that was on its way.
      const figures = await runCampaign({ ...how, policy, faults: [fault], rate: 0.1, grants: 1 });
      shown.push({ cell: { policy: policy.name, fault, ...promiseOf(policy, fault) }, figures });
    }
  }
  return shown;
}

/** Every promise, without a run that shows it. */
export function promises(policies: readonly SimulatedPolicy[] = SIMULATED_POLICIES): readonly Shown[] {
  return policies.flatMap((policy) =>
    ALL_FAULTS.filter((fault) => canStrike(fault, policy.policy)).map((fault) => ({
      cell: { policy: policy.name, fault, ...promiseOf(policy, fault) },
      figures: newFigures(policy.name),
    })),
  );
}

/** What contradicts its promise. */
export function brokenPromises(shown: readonly Shown[]): readonly string[] {
  return shown.flatMap(({ cell, figures }) => {
    const { policy, fault, promised } = cell;
    const name = `${policy}, ${fault}`;
    const lost = lossesOf(figures);
    const complaints = figures.found.map(
      (one) => `${name}: ${one.violation.invariant} ${one.violation.what} (${one.seed})`,
    );
    if (promised === 'kept' && lost > 0) complaints.push(`${name}: promised to be kept, and ${lost} were lost`);
    if (promised === 'not' && lost === 0 && figures.struck > 5)
      complaints.push(`${name}: said to be lost, and none was`);
    return complaints;
  });
}

export function lossesOf(figures: Figures): number {
  return figures.avoidable + [...figures.unavoidable.values()].reduce((sum, one) => sum + one, 0);
}

/** The table of the README: a row a fault, a column a kind of provider, and the bounds beneath by letter. */
export function promiseTable(shown: readonly Shown[]): string {
  const policies = [...new Set(shown.map(({ cell }) => cell.policy))];
  const bounds = [...new Set(shown.map(({ cell }) => boundOf(cell)).filter((bound) => bound !== ''))];
  const letters = new Map(bounds.map((bound, i) => [bound, String.fromCodePoint(LETTER_A + i)]));
  const byRow = ALL_FAULTS.toSorted((a, b) => FAULTS[a].row.localeCompare(FAULTS[b].row, 'en', { numeric: true }));
  const rows = byRow.map((fault) => {
    const { row, about } = FAULTS[fault];
    const cells = policies.map((policy) => {
      const found = shown.find(({ cell }) => cell.policy === policy && cell.fault === fault);
      return found ? inWords(found, letters.get(boundOf(found.cell)) ?? '') : '–';
    });
    return `| ${row} ${about} | ${cells.join(' | ')} |`;
  });
  const notes = [...letters].map(([bound, letter]) => `**${letter}** ${bound}`);
  const table = [`| | ${policies.join(' | ')} |`, `|---|${policies.map(() => '---').join('|')}|`, ...rows];
  return `${table.join('\n')}\n\n${notes.join(' · ')}`;
}

const LETTER_A = 0x61;

function boundOf({ promised, bound }: Cell): string {
  switch (promised) {
    case 'kept':
      return '';
    case 'bounded':
      return `kept ${bound}`;
    case 'not':
      return `cannot be kept: ${bound}`;
  }
}

function inWords({ cell, figures }: Shown, letter: string): string {
  return cell.promised === 'kept'
    ? `kept (${figures.struck})`
    : `**${letter}** (${lossesOf(figures)} of ${figures.struck} lost)`;
}
