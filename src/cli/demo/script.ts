/** Which faults strike which chain, and in which order: drawn from the seed, the same for the same seed. */
import { createHash } from 'node:crypto';
import type { FaultName, FaultSpec } from '../../emulator.ts';

export interface Strike {
  readonly spec: Omit<FaultSpec, 'match'>;
  /** As a person reads it. */
  readonly words: string;
  /** The answer is gone: access is back only once the provider's spacing has passed. */
  readonly loses: boolean;
  /** What happens to the server while the fault lasts. */
  readonly kills?: true;
}

/** Nothing can be told from these answers, and the provider may have rotated. */
const LOSING: readonly Strike[] = [
  { spec: { fault: 'drop-after-commit' }, words: 'rotated, and the answer was lost', loses: true },
  { spec: { fault: 'http-502', commit: 'after' }, words: 'rotated, and a page "502 Bad Gateway" came', loses: true },
  { spec: { fault: 'reset-mid-body' }, words: 'rotated, and the connection broke mid-answer', loses: true },
  { spec: { fault: 'drop-before-commit' }, words: 'the connection closed, nothing had happened', loses: true },
  { spec: { fault: 'http-503' }, words: 'a page "503 Service Unavailable" came', loses: true },
  { spec: { fault: 'hang', commit: 'after' }, words: 'rotated, no answer yet', loses: true, kills: true },
];

/** These leave enough to go on with. */
const MILD: readonly Strike[] = [
  {
    spec: { fault: 'truncate-body', at: 'after-refresh-token' },
    words: 'answer cut off behind the token',
    loses: false,
  },
  { spec: { fault: 'delay', ms: 800 }, words: 'a slow answer', loses: false },
  { spec: { fault: 'slow-drip', ms: 15 }, words: 'the answer came 16 bytes at a time', loses: false },
  { spec: { fault: 'http-429', retry_after: 1 }, words: '429, come back in 1 s', loses: false },
  { spec: { fault: 'expires-in', as: 'missing' }, words: 'an answer without expires_in', loses: false },
  { spec: { fault: 'bad-json' }, words: 'JSON without its last brace', loses: false },
  { spec: { fault: 'wrong-content-type' }, words: 'JSON that calls itself HTML', loses: false },
  { spec: { fault: 'form-encoded' }, words: 'a form where JSON belongs', loses: false },
  { spec: { fault: 'omit-token-type' }, words: 'an answer without token_type', loses: false },
];

/** Every kind that is played. */
export const KINDS: readonly FaultName[] = [...LOSING, ...MILD].map(({ spec }) => spec.fault);

/** For each of so many chains the faults it meets, in order; all kinds are dealt out. */
export function scripts(chains: number, seed: string): readonly (readonly Strike[])[] {
  const losing = shuffled(LOSING, `${seed} losing`);
  const mild = shuffled(MILD, `${seed} mild`);
  return Array.from({ length: chains }, (_, chain) => {
    const mine = (all: readonly Strike[]) => all.filter((_strike, i) => i % chains === chain);
    return alternating(mine(mild), mine(losing));
  });
}

function alternating<T>(a: readonly T[], b: readonly T[]): readonly T[] {
  const rows = Array.from({ length: Math.max(a.length, b.length) }, (_, i) => [
    ...a.slice(i, i + 1),
    ...b.slice(i, i + 1),
  ]);
  return rows.flat();
}

function shuffled<T extends Strike>(all: readonly T[], seed: string): readonly T[] {
  const place = ({ spec }: T) => createHash('sha256').update(`${seed} ${spec.fault}`).digest('hex');
  return all.toSorted((a, b) => (place(a) < place(b) ? -1 : 1));
}
