/** Identifiers: a prefix that says what is named, and 26 characters that sort by time of making (the ULID layout). */
import type { Instant } from './instant.ts';

export type GrantId = `grt_${string}`;
export type AppId = `app_${string}`;
/** Names a link of a chain, and the exchange or authorization that made it. */
export type LinkId = `lnk_${string}`;
export type AuthorizationId = `aut_${string}`;
/** Somebody who gets tokens of grants from here. */
export type ClientId = `cli_${string}`;
/** A client's refresh token for one grant, with all that succeeded it. */
export type FamilyId = `fam_${string}`;
/** A client's request for an authorization, pushed, in a browser or from a device. */
export type RequestId = `req_${string}`;

/** Where a node's data folder is known by in histories and journals. */
export type NodeId = string;

const CROCKFORD = '0123456789abcdefghjkmnpqrstvwxyz';
/** Of each half of the time: five characters of five bits. */
const HALF_BITS = 25;
const TOP_BITS = 20;
const CHANCE_BYTES = 16;

/**
 * A new identifier. `chance` must be 16 fresh random bytes; each gives one character (its low five bits).
 */
export function newId<P extends string>(prefix: P, now: Instant, chance: Uint8Array): `${P}_${string}` {
  if (chance.length < CHANCE_BYTES) throw new Error(`newId needs ${CHANCE_BYTES} random bytes`);
  let text = '';
  for (const half of [now / 2 ** HALF_BITS, now % 2 ** HALF_BITS]) {
    for (let shift = TOP_BITS; shift >= 0; shift -= 5) text += CROCKFORD.charAt((half >>> shift) & 31);
  }
  for (let i = 0; i < CHANCE_BYTES; i++) text += CROCKFORD.charAt((chance[i] ?? 0) & 31);
  return `${prefix}_${text}`;
}

const ID = /^(grt|app|key|lnk|aut|cli|fam|req)_[0-9a-hjkmnp-tv-z]{26}$/;

/** Whether a text has the form of an identifier with this prefix. */
export function isId<P extends string>(prefix: P, text: string): text is `${P}_${string}` {
  return ID.test(text) && text.startsWith(`${prefix}_`);
}

/** The names a grant may have: lower case, as in `eol` or `acme.books`. */
export const ALIAS = /^[a-z0-9][a-z0-9._-]{0,62}$/;
