/** The `Retry-After` header (RFC 9110 section 10.2.3): seconds, or the date of the moment to come back. */
import type { Instant } from '../core/instant.ts';

/** Longer waits are not believed: a server that is set wrong must not silence a chain for good. */
const MAX_WAIT_MS = 24 * 3600 * 1000;

/** Milliseconds from `now` on; null where the header is missing or says nothing. */
export function retryAfterMs(header: string | undefined, now: Instant): number | null {
  if (header === undefined) return null;
  const text = header.trim();
  const ms = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1000 : dateOf(text) - now;
  return Number.isNaN(ms) ? null : Math.min(Math.max(0, Math.ceil(ms)), MAX_WAIT_MS);
}

/** NaN for what is no date. Only texts that name a day are tried, since `Date.parse` accepts nearly any number. */
function dateOf(text: string): number {
  return /^[A-Za-z]{3,9},? /.test(text) ? Date.parse(text) : Number.NaN;
}
