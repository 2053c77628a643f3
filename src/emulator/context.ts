/** What every part of one emulator shares. Time is passed in from outside. */
import { after, type Instant } from '../core/instant.ts';
import type { LoginVisit } from './authorization-server.ts';
import type { DeviceRequests } from './device.ts';
import type { Faults } from './faults.ts';
import { type Happening, MOST_HAPPENINGS } from './happening.ts';
import type { IdTokens } from './id-tokens.ts';
import type { Incidents } from './incidents.ts';
import type { Ledger } from './ledger.ts';
import type { Limits } from './limits.ts';
import type { Upstream } from './upstream.ts';

/** What the next authorization requests meet: a person, or a decision that was made beforehand. */
export type Preselection =
  | { readonly decision: 'interactive' }
  | {
      /** `narrow`: allowed, but less than was asked: fewer scopes, or one company alone. */
      readonly decision: 'approve' | 'deny' | 'narrow';
      readonly user: string | null;
      readonly once: boolean;
      /** For `narrow`: the scopes that are allowed; the default is all but the last that was asked for. */
      readonly scope?: readonly string[];
    };

export interface Context {
  /** The server as it is since the last reset. */
  readonly upstream: Upstream;
  readonly faults: Faults;
  /** Requests for tokens, by app and user. */
  readonly tokenCalls: Limits;
  /** API calls, by app and company. */
  readonly apiCalls: Limits;
  readonly ledger: Ledger;
  readonly incidents: Incidents;
  readonly happenings: Happening[];
  readonly idTokens: IdTokens;
  /** Tokens that apps got for themselves (RFC 6749 section 4.4), with their end. */
  readonly managers: Map<string, Instant>;
  readonly visits: Map<string, LoginVisit>;
  readonly devices: DeviceRequests;
  preselection: Preselection;
  /** By how much the server shows another time than it keeps. */
  skewMs: number;
  now(): Instant;
}

/** The time that the server shows: in `Date` and where its API tells the time. */
export function shownTime(context: Context): Instant {
  return after(context.now(), context.skewMs);
}

/** Only where the provider has a log of its own. */
export function tell({ happenings, upstream }: Context, happening: Happening): void {
  if (!upstream.form.own) return;
  happenings.push(happening);
  if (happenings.length > 2 * MOST_HAPPENINGS) happenings.splice(0, MOST_HAPPENINGS);
}
