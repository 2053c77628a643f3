/**
 * What many ask for and is not done for each of them: who asks within a while gets what the last one got, good or bad.
 *
 * State: when it was done last, and what that gives.
 */
import type { Clock } from '../ports/clock.ts';

export function seldom<T>(clock: Clock, everyMs: number, work: () => Promise<T>): () => Promise<T> {
  let last: { readonly atMs: number; readonly outcome: Promise<T> } | null = null;
  return () => {
    const nowMs = clock.moment().uptimeMs;
    if (!last || nowMs >= last.atMs + everyMs) last = { atMs: nowMs, outcome: work() };
    return last.outcome;
  };
}
