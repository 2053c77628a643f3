/**
 * What a keeper makes of each thing that can happen to a chain: the table of docs/diagnosis.md. `diagnosis-table.test.ts`
 * does each of these to a keeper that is joined with an emulated provider, and looks.
 */
import type { FAULTS, FaultName } from '../src/emulator.ts';

/** Every profile with rules of its own, and of the others one or more for each way to treat a spent token. */
export const PROFILES = {
  'exact-online': 'overlap until the successor is used, spacing, one chain an account',
  auth0: 'no overlap, a reuse ends the family',
  google: 'does not rotate, the newest 100 live',
  'google-50': 'does not rotate, the newest 50 live',
  truelayer: 'does not rotate, an exchange ends the access tokens before it',
  'truelayer-2019': 'no overlap, a reuse is refused',
  xero: 'overlap of 30 minutes',
  okta: 'overlap of 30 seconds, then a reuse ends the family',
  box: 'the same answer again until the successor is used',
  'microsoft-entra': 'spent tokens stay good',
  'github-app': 'no overlap, an exchange ends the access token before it',
  hubspot: 'does not rotate, nothing else known',
  withings: 'overlap of 8 hours until the successor is used',
  oidc: 'any issuer: nothing known, so nothing hoped',
} as const;
export type Profile = keyof typeof PROFILES;

/** Things that happen without a fault of a request. */
export const HAPPENINGS = {
  'stopped for 40 days': 'the keeper does not run for 40 days; while it runs, it exchanges idle chains in time',
  'authorized elsewhere': 'the same app and account are authorized by another system',
  'exchanged elsewhere': 'another program presents the newest refresh token',
} as const;
export type Happening = keyof typeof HAPPENINGS;

/** Faults of the sign-in pages meet a person, and no chain is there yet. */
export type ChainFault = { [F in FaultName]: (typeof FAULTS)[F] extends 'login' ? never : F }[FaultName];
export type What = ChainFault | Happening;

/** A code of a diagnosis or error that a client sees, `token` where it sees none. The last one stays. */
type Outcome = string;

const UNHARMED = 'token';
const HEALED = 'in_doubt → token';
const PUT_OFF = 'upstream_fault → token';
const LOST = 'in_doubt → successor_lost';
const LOST_LATER = 'token → successor_lost';
const USED_LATER = 'token → used_elsewhere';

const row = (usual: Outcome, others: Partial<Record<Profile, Outcome>> = {}): Readonly<Record<Profile, Outcome>> => {
  const profiles = Object.keys(PROFILES) as Profile[];
  return Object.fromEntries(profiles.map((one) => [one, others[one] ?? usual])) as Record<Profile, Outcome>;
};

/** By fault; for each profile what is seen, from the request that it strikes until nothing changes any more. */
export const EXPECTED: Readonly<Record<What, Readonly<Record<Profile, Outcome>>>> = {
  'drop-before-commit': row(HEALED),
  'drop-after-commit': row(HEALED, { auth0: LOST, 'truelayer-2019': LOST, 'github-app': LOST, oidc: LOST }),
  'truncate-body': row(HEALED, {
    auth0: UNHARMED,
    'truelayer-2019': LOST,
    xero: UNHARMED,
    okta: UNHARMED,
    'microsoft-entra': UNHARMED,
    'github-app': LOST,
    oidc: UNHARMED,
  }),
  'reset-mid-body': row(HEALED, {
    auth0: UNHARMED,
    'truelayer-2019': LOST,
    xero: UNHARMED,
    okta: UNHARMED,
    'microsoft-entra': UNHARMED,
    'github-app': LOST,
    oidc: UNHARMED,
  }),
  'slow-drip': row(UNHARMED),
  hang: row(HEALED, { auth0: LOST, 'truelayer-2019': LOST, okta: LOST, 'github-app': LOST, oidc: LOST }),
  'tls-error': row(PUT_OFF),
  'dns-failure': row(PUT_OFF),
  delay: row(HEALED),
  'http-500': row(HEALED),
  'http-502': row(HEALED),
  'http-503': row(HEALED),
  'http-429': row(PUT_OFF),
  'spurious-chain-id': row('used_elsewhere', {
    'exact-online': 'too_early → token',
    google: 'revoked',
    'google-50': 'revoked',
    truelayer: 'revoked',
    hubspot: 'revoked',
  }),
  'bad-json': row(UNHARMED, { google: HEALED, 'google-50': HEALED, hubspot: HEALED }),
  'wrong-content-type': row(UNHARMED),
  'omit-refresh-token': row(LOST_LATER, {
    google: UNHARMED,
    'google-50': UNHARMED,
    truelayer: UNHARMED,
    box: UNHARMED,
    'microsoft-entra': UNHARMED,
    hubspot: UNHARMED,
    withings: UNHARMED,
  }),
  'same-refresh-token': row(LOST_LATER, {
    google: UNHARMED,
    'google-50': UNHARMED,
    truelayer: UNHARMED,
    box: UNHARMED,
    'microsoft-entra': UNHARMED,
    hubspot: UNHARMED,
    withings: UNHARMED,
  }),
  'expires-in': row(UNHARMED),
  'omit-token-type': row(UNHARMED),
  'form-encoded': row(UNHARMED, { withings: HEALED }),
  'status-201': row(UNHARMED),
  'bit-flip': row(UNHARMED, {
    'exact-online': 'token → too_early → reauthorized_elsewhere',
    auth0: USED_LATER,
    'truelayer-2019': USED_LATER,
    xero: USED_LATER,
    okta: USED_LATER,
    'github-app': USED_LATER,
    oidc: USED_LATER,
  }),
  'dead-on-arrival': row(USED_LATER, {
    google: 'token → revoked',
    'google-50': 'token → revoked',
    truelayer: 'token → revoked',
    'microsoft-entra': UNHARMED,
    hubspot: 'token → revoked',
    withings: UNHARMED,
  }),
  'duplicate-delivery': row(UNHARMED, {
    'exact-online': 'too_early → token',
    auth0: 'used_elsewhere',
    'truelayer-2019': 'used_elsewhere',
    'github-app': 'used_elsewhere',
    oidc: 'used_elsewhere',
  }),
  'chain-reset': row('used_elsewhere', {
    'exact-online': 'too_early → reauthorized_elsewhere',
    google: 'revoked',
    'google-50': 'revoked',
    truelayer: 'revoked',
    'microsoft-entra': 'revoked',
    hubspot: 'revoked',
  }),
  'consent-revoked': row('used_elsewhere', {
    'exact-online': 'too_early → reauthorized_elsewhere',
    google: 'revoked',
    'google-50': 'revoked',
    truelayer: 'revoked',
    'microsoft-entra': 'revoked',
    hubspot: 'revoked',
  }),
  'secret-rotated': row('client_rejected'),
  'clock-skew': row(UNHARMED),
  'stopped for 40 days': row(UNHARMED, {
    'exact-online': 'expired_idle',
    auth0: 'expired_absolute',
    truelayer: 'expired_idle',
    'truelayer-2019': 'expired_idle',
    okta: 'expired_idle',
  }),
  'authorized elsewhere': row(UNHARMED, { 'exact-online': 'too_early → reauthorized_elsewhere' }),
  'exchanged elsewhere': row(UNHARMED, {
    'exact-online': 'used_elsewhere',
    auth0: 'used_elsewhere',
    'truelayer-2019': 'used_elsewhere',
    'github-app': 'used_elsewhere',
    oidc: 'used_elsewhere',
  }),
};

/** The codes that name a cause. `token` is always right: no harm was done, and nothing is to be told. */
export const CAUSES: Readonly<Record<What, readonly string[]>> = {
  'drop-before-commit': ['in_doubt', 'successor_lost'],
  'drop-after-commit': ['in_doubt', 'successor_lost'],
  'truncate-body': ['in_doubt', 'successor_lost'],
  'reset-mid-body': ['in_doubt', 'successor_lost'],
  'slow-drip': [],
  hang: ['in_doubt', 'successor_lost'],
  'tls-error': ['upstream_fault'],
  'dns-failure': ['upstream_fault'],
  delay: ['in_doubt'],
  'http-500': ['in_doubt'],
  'http-502': ['in_doubt'],
  'http-503': ['in_doubt'],
  'http-429': ['upstream_fault'],
  'spurious-chain-id': ['invalid_chain'],
  'bad-json': ['in_doubt'],
  'wrong-content-type': [],
  'omit-refresh-token': ['successor_lost'],
  'same-refresh-token': ['successor_lost'],
  'expires-in': [],
  'omit-token-type': [],
  'form-encoded': ['in_doubt'],
  'status-201': [],
  'bit-flip': ['successor_lost'],
  'dead-on-arrival': ['successor_lost'],
  'duplicate-delivery': ['superseded'],
  'chain-reset': ['invalid_chain'],
  'consent-revoked': ['revoked'],
  'secret-rotated': ['client_rejected'],
  'clock-skew': [],
  'stopped for 40 days': ['expired_idle', 'expired_absolute'],
  'authorized elsewhere': ['reauthorized_elsewhere'],
  'exchanged elsewhere': ['used_elsewhere'],
};

/** Causes that look like another one on the wire, and in the record as well: what is said instead, and why. */
export const ALIKE: Readonly<Partial<Record<What, { readonly codes: readonly string[]; readonly why: string }>>> = {
  'spurious-chain-id': {
    codes: ['used_elsewhere', 'revoked'],
    why: 'A good token is refused in the very words of a dead one. Exact Online is asked once more, since it is known for that; elsewhere asking again may end the family.',
  },
  'chain-reset': {
    codes: ['reauthorized_elsewhere', 'used_elsewhere', 'revoked'],
    why: 'A server that lost a chain says what it says of a chain that somebody else ended: the record has one presentation, in time, of the newest token.',
  },
  'consent-revoked': {
    codes: ['reauthorized_elsewhere', 'used_elsewhere'],
    why: 'Where tokens rotate, a consent that was taken back and a token that was used elsewhere get the same words; the cause that is told names both. Where they do not rotate, it is told as `revoked`.',
  },
  'bit-flip': {
    codes: ['reauthorized_elsewhere', 'used_elsewhere'],
    why: 'The damaged token looks like a token, and the server says that it does not know it. Where the one before is still good, nothing is lost.',
  },
  'dead-on-arrival': {
    codes: ['used_elsewhere', 'revoked'],
    why: 'A token that was dead when it came looks like one that died before it was used.',
  },
  'duplicate-delivery': {
    codes: ['used_elsewhere'],
    why: 'A network that delivers a request twice is another one that presents the token: the record has one presentation, the provider two.',
  },
};
