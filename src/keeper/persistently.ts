/** Doing again what must not be given up: storing what was received while the store is down. */
import type { GrantId } from '../core/id.ts';
import type { KeeperParts } from './parts.ts';

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 5_000;

/**
 * Repeats until it succeeds, or the server is about to end and has waited as long as it was told to. What it holds is in
 * memory and, if that could be written, in the journal: the next start takes it from there. What does not pass by itself
 * is not repeated.
 */
export async function persistently<T>(
  parts: KeeperParts,
  what: string,
  grant: GrantId,
  work: () => Promise<T>,
  isPassing: (cause: unknown) => boolean = () => true,
): Promise<T> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 2)) {
    try {
      return await work();
    } catch (cause) {
      if (parts.ended?.aborted || !isPassing(cause)) throw cause;
      parts.log.error(`Could not ${what}; trying again.`, { grant, again_in_ms: pauseMs }, cause);
      await parts.clock.sleep(pauseMs, parts.ended);
    }
  }
}
