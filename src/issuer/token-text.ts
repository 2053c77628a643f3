/**
 * The text of a client's refresh token: `evr_`, its family, its place in the family, and a MAC over that place under a
 * key that each family has of its own.
 *
 * So no token is ever stored, not even sealed: the text of any one follows from the family's sealed key. A retry after a
 * lost answer is given the very same successor, and a token that is long past is still known as one of ours.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { FamilyId } from '../core/id.ts';
import { type RefreshToken, Secret } from '../core/secret.ts';

const TEXT = /^evr_([0-9a-hjkmnp-tv-z]{26})([0-9a-v]{6})([A-Za-z0-9_-]{43})$/;
const RADIX = 32;
const COUNTER_LENGTH = 6;

export interface TokenText {
  readonly family: FamilyId;
  /** Counts the tokens of the family from 1 on. */
  readonly counter: number;
  readonly mac: string;
}

/** Null for what has another form. */
export function readTokenText(text: string): TokenText | null {
  const [, family, counter = '', mac = ''] = TEXT.exec(text) ?? [];
  return family === undefined ? null : { family: `fam_${family}`, counter: Number.parseInt(counter, RADIX), mac };
}

export function tokenText(family: FamilyId, counter: number, key: Secret<'family key'>): RefreshToken {
  const place = counter.toString(RADIX).padStart(COUNTER_LENGTH, '0');
  return new Secret('refresh token', `evr_${family.slice('fam_'.length)}${place}${macOf(key, counter)}`);
}

/** In the same time whatever is wrong. */
export function isGenuine({ counter, mac }: TokenText, key: Secret<'family key'>): boolean {
  return timingSafeEqual(Buffer.from(mac), Buffer.from(macOf(key, counter)));
}

function macOf(key: Secret<'family key'>, counter: number): string {
  return createHmac('sha256', Buffer.from(key.reveal(), 'base64url')).update(String(counter)).digest('base64url');
}
