/** Refuses a machine whose clock was never set: what it would note as the time of an exchange would be believed later. */
import { EvergrantError } from '../core/errors.ts';
import { type Instant, toRfc3339 } from '../core/instant.ts';

/** Before this program was made. */
const EARLIEST = Date.UTC(2026, 0, 1);

/** Throws `server_unavailable`: once the clock is set, the same start succeeds. */
export function refuseUnsetClock(now: Instant): void {
  if (now >= EARLIEST) return;
  throw new EvergrantError(
    'server_unavailable',
    `The clock of this machine says ${toRfc3339(now)}, which is long past.`,
    {
      remedy: 'Set it, or wait until the network has set it; then start again.',
    },
  );
}
