/** What the token endpoint did, told as it happened: a provider's own log is written from it. */
import type { Instant } from '../core/instant.ts';
import type { TokenRefusal } from './form.ts';

export type Happening = {
  readonly at: Instant;
  readonly client: string;
  /** The user's id; empty where an app acts for itself, or nobody is known. */
  readonly user: string;
} & (
  | { readonly what: 'authorized' | 'exchanged'; readonly chain: ChainPlace; readonly scope: readonly string[] }
  | { readonly what: 'code-refused' | 'client-refused'; readonly reason: TokenRefusal }
  | { readonly what: 'exchange-refused'; readonly reason: TokenRefusal; readonly chain: ChainPlace | null }
  /** A dead token came again, and that ended its whole family. */
  | { readonly what: 'reuse'; readonly chain: ChainPlace }
  | { readonly what: 'evicted'; readonly from: number; readonly removed: number }
  | { readonly what: 'revoked' }
);

/** A refresh token by its place: the first of a family is 1. */
export interface ChainPlace {
  readonly family: string;
  readonly counter: number;
  readonly latest: number;
}

/** The newest so many are kept. */
export const MOST_HAPPENINGS = 10_000;
