/**
 * What a keeper makes of each thing that can happen to a chain: the table of docs/diagnosis.md. `diagnosis-table.test.ts`
 * does each of these to a keeper that is joined with an emulated provider, and looks.
 */
import type { FaultName } from '../src/emulator.ts';

export const PROFILES = ['exact-online', 'auth0', 'google', 'truelayer'] as const;
type Profile = (typeof PROFILES)[number];

/** Things that happen without a fault of a request. */
export const HAPPENINGS = {
  'left alone for 40 days': 'nobody uses the grant for 40 days',
  'authorized elsewhere': 'the same app and account are authorized by another system',
  'exchanged elsewhere': 'another program presents the newest refresh token',
} as const;
export type Happening = keyof typeof HAPPENINGS;

/** A code of a diagnosis or error that a client sees, `token` where it sees none. The last one stays. */
type Outcome = string;

const HEALED = 'in_doubt → token';
const PUT_OFF = 'upstream_fault → token';
const same = (outcome: Outcome): Readonly<Record<Profile, Outcome>> => ({
  'exact-online': outcome,
  auth0: outcome,
  google: outcome,
  truelayer: outcome,
});

/** By fault; for each profile what is seen, from the request that it strikes until nothing changes any more. */
export const EXPECTED: Readonly<Partial<Record<FaultName | Happening, Readonly<Partial<Record<Profile, Outcome>>>>>> = {
  'drop-before-commit': same(HEALED),
  'drop-after-commit': { ...same(HEALED), auth0: 'in_doubt → successor_lost' },
  hang: { ...same(HEALED), auth0: 'in_doubt → successor_lost' },
  'truncate-body': { ...same(HEALED), auth0: 'token' },
  'reset-mid-body': { ...same(HEALED), auth0: 'token' },
  'slow-drip': same('token'),
  'tls-error': same(PUT_OFF),
  'http-500': same(HEALED),
  'http-502': same(HEALED),
  'http-503': same(HEALED),
  'http-429': same(PUT_OFF),
  'wrong-content-type': same('token'),
  'omit-token-type': same('token'),
  'form-encoded': same('token'),
  'status-201': same('token'),
  'expires-in': same('token'),
  'clock-skew': same('token'),
  'omit-refresh-token': { ...same('token'), 'exact-online': 'token → successor_lost', auth0: 'token → successor_lost' },
  'same-refresh-token': { ...same('token'), 'exact-online': 'token → successor_lost', auth0: 'token → successor_lost' },
  'secret-rotated': same('client_rejected'),
  'spurious-chain-id': { 'exact-online': 'too_early → token' },
  'consent-revoked': {
    'exact-online': 'too_early → reauthorized_elsewhere',
    auth0: 'used_elsewhere',
    google: 'revoked',
    truelayer: 'revoked',
  },
  'chain-reset': { 'exact-online': 'too_early → reauthorized_elsewhere' },
  'bit-flip': { 'exact-online': 'token → too_early → reauthorized_elsewhere', google: 'token', truelayer: 'token' },
  'bad-json': { 'exact-online': 'token', auth0: 'token' },
  'duplicate-delivery': { 'exact-online': 'too_early → token', google: 'token', truelayer: 'token' },
  'dead-on-arrival': { 'exact-online': 'token → used_elsewhere', auth0: 'token → used_elsewhere' },
  'left alone for 40 days': { 'exact-online': 'expired_idle', auth0: 'expired_absolute', google: 'token' },
  'authorized elsewhere': { 'exact-online': 'too_early → reauthorized_elsewhere', google: 'token', truelayer: 'token' },
  'exchanged elsewhere': { 'exact-online': 'used_elsewhere', auth0: 'used_elsewhere' },
};

/** Where a provider says the same of two causes and the record cannot tell them apart either. */
export const ALIKE: Readonly<Partial<Record<FaultName | Happening, string>>> = {
  'consent-revoked':
    'Exact Online and Auth0 say of a consent that was taken back what they say of another authorization or use; the evidence names both.',
  'bit-flip': 'Looks like a token of another chain: nobody here can know that it was damaged before it came.',
  'chain-reset': 'Looks like another authorization of the same app and account.',
  'dead-on-arrival': 'Looks like a token that another program has used; the evidence names both.',
};
