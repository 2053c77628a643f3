/**
 * How far something that was checked with the store may be relied upon from memory. Ages are in milliseconds, by a clock
 * that nobody sets.
 */

/** What is revoked on one node stops on every other within this time. */
const SURE_MS = 1_000;
/** However well others are heard, everything is checked anew after so long. */
const CHECK_AGAIN_MS = 60_000;
/** Without the store, whoever stood lately is served for so long. */
const WITHOUT_STORE_MS = 300_000;

/** sure: as good as asking. recent: good enough while the store is away. */
export type Standing = 'sure' | 'recent' | 'old';

/** `heardAgoMs`: how long ago it was last certain that all that other nodes had changed was heard. */
export function standingOf(checkedAgoMs: number, heardAgoMs: number): Standing {
  const isHeard = heardAgoMs <= SURE_MS && checkedAgoMs <= CHECK_AGAIN_MS;
  if (checkedAgoMs <= SURE_MS || isHeard) return 'sure';
  return checkedAgoMs <= WITHOUT_STORE_MS ? 'recent' : 'old';
}
