/** What a client's refresh tokens do when they are used: a few plain settings, and the one policy they stand for. */
import type { RotationPolicy } from '../core/rotation-policy.ts';
import { UNKNOWN_POLICY } from '../core/rotation-policy.ts';

export interface ClientRotation {
  /** durable: the token does not change. rotating: each use gives a new one. */
  readonly mode: 'durable' | 'rotating';
  /** rotating: for how long after its first use a token may be used again; Infinity is null. */
  readonly reuseIntervalMs: number | null;
  /** rotating: how many tokens back that reaches. */
  readonly keep: number;
  /** rotating: what a repeated use gives, the same successor or one more. */
  readonly answer: 'same' | 'new';
  /** rotating: what using a dead token costs. */
  readonly onReuse: 'revoke' | 'reject';
  /** It ends when it is not used for so long. */
  readonly idleMs: number;
  /** It ends so long after it was issued; null: with the consent at the provider, or after a year where that has no end. */
  readonly absoluteMs: number | null;
  /** Live refresh tokens of a client for one grant; the oldest are ended for newer ones. */
  readonly mostTokens: number;
}

const SECOND_MS = 1_000;
const DAY_MS = 86_400_000;
const YEAR_MS = 365 * DAY_MS;

/** The most tokens that `keep` may reach back. */
export const MOST_KEPT = 100;

export const DURABLE: ClientRotation = {
  mode: 'durable',
  reuseIntervalMs: 0,
  keep: 0,
  answer: 'same',
  onReuse: 'reject',
  idleMs: 30 * DAY_MS,
  absoluteMs: null,
  mostTokens: 100,
};

/** A retry within a minute gets the same successor; any later use of an old token ends the family. */
export const ROTATING: ClientRotation = {
  ...DURABLE,
  mode: 'rotating',
  reuseIntervalMs: 60 * SECOND_MS,
  keep: 1,
  onReuse: 'revoke',
};

/** `consentEnds`: whether the consent at the provider has an end of its own. */
export function policyOf(rotation: ClientRotation, consentEnds: boolean): RotationPolicy {
  const isDurable = rotation.mode === 'durable';
  const { answer, onReuse, keep, reuseIntervalMs, idleMs } = rotation;
  const withoutConsent = consentEnds ? Number.POSITIVE_INFINITY : YEAR_MS;
  return {
    ...UNKNOWN_POLICY,
    rotate: { ...UNKNOWN_POLICY.rotate, mode: isDurable ? 'never' : 'always' },
    overlap: {
      ...UNKNOWN_POLICY.overlap,
      windowMs: reuseIntervalMs ?? Number.POSITIVE_INFINITY,
      depth: keep,
      successorUse: 'refresh',
      answer: answer === 'same' ? 'same' : 'fork',
    },
    // The access token is the provider's own, and others share it.
    onReuse: { refresh: onReuse === 'revoke' ? 'revoke-family' : 'reject', access: 'keep' },
    life: {
      idleMs,
      idleFrom: 'last-use',
      absoluteMs: rotation.absoluteMs ?? withoutConsent,
      accessTokenMs: null,
      codeMs: null,
    },
    caps: { ...UNKNOWN_POLICY.caps, familiesPerUserClient: rotation.mostTokens },
    access: 'keep',
  };
}
