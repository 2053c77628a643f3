/** What every part of one emulator shares. Time and waiting are passed in from outside. */
import { after, type Instant } from '../core/instant.ts';
import type { Faults } from './faults.ts';
import type { Ledger } from './ledger.ts';
import type { Limits } from './limits.ts';
import type { LoginVisit } from './authorization-server.ts';
import type { Upstream } from './upstream.ts';

/** What the next authorization requests meet: a person, or a decision that was made beforehand. */
export type Preselection =
  | { readonly decision: 'interactive' }
  | { readonly decision: 'approve' | 'deny'; readonly user: string | null; readonly once: boolean };

export interface Context {
  /** The server as it is since the last reset. */
  readonly upstream: Upstream;
  readonly faults: Faults;
  readonly limits: Limits;
  readonly ledger: Ledger;
  readonly visits: Map<string, LoginVisit>;
  preselection: Preselection;
  /** By how much the server shows another time than it keeps. */
  skewMs: number;
  now(): Instant;
  sleep(ms: number): Promise<void>;
}

/** The time that the server shows: in `Date` and where its API tells the time. */
export function shownTime(context: Context): Instant {
  return after(context.now(), context.skewMs);
}
