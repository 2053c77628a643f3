/**
 * Why a chain stands still: one code, what it means, and what to do. The codes are public and stable; each has a
 * section in docs/errors.md.
 */
import type { Instant } from './instant.ts';

/** What a provider's refusal says about the token or the caller, as far as its answer tells. */
export type Meaning =
  /** That nothing was answered is no answer's meaning. */
  | Exclude<DiagnosisCode, 'in_doubt'>
  /** A dead refresh token, and the answer does not tell of what it died. */
  | 'invalid_grant'
  /** Too many requests; says nothing about the token. */
  | 'throttled';

export const DIAGNOSES = {
  superseded: {
    cause:
      'A newer refresh token of this chain had replaced the one that was presented: it was older than the active one, or newer than that but superseded before it was used.',
    remedy: 'Renew the grant. If this repeats, look for a second program that uses the same app and account.',
    retry: false,
  },
  successor_lost: {
    cause:
      'The provider exchanged the refresh token, but the new one never arrived here, and its rules left no way to ask again.',
    remedy: 'Renew the grant. Nothing else is affected; clients keep their credentials.',
    retry: false,
  },
  used_elsewhere: {
    cause:
      'Another program used a refresh token of this chain, or the authorization was revoked at the provider: no exchange of this keeper accounts for it.',
    remedy: 'Stop any other program that holds a refresh token of this grant, then renew the grant.',
    retry: false,
  },
  expired_idle: {
    cause: 'The refresh token was not used for longer than the provider keeps an unused one.',
    remedy: 'Renew the grant.',
    retry: false,
  },
  expired_absolute: {
    cause: 'The authorization reached the end of the life that the provider gives it.',
    remedy: 'Renew the grant. The next end is shown as `expires.absolute_at`.',
    retry: false,
  },
  consent_ended: {
    cause: 'The consent of the account owner ended.',
    remedy: 'Ask the account owner to consent again: renew the grant.',
    retry: false,
  },
  revoked: {
    cause: 'The authorization was revoked at the provider.',
    remedy: 'Ask the account owner whether this was meant; if not, renew the grant.',
    retry: false,
  },
  evicted_by_cap: {
    cause: 'The provider keeps a limited number of refresh tokens and dropped this one for newer ones.',
    remedy: 'Renew the grant, and find what authorizes the same app and account so often.',
    retry: false,
  },
  invalid_chain: {
    cause: 'The provider no longer knows the chain that this refresh token belongs to.',
    remedy: 'Renew the grant. Often a newer authorization of the same app and account ended this chain.',
    retry: false,
  },
  code_replayed: {
    cause: 'The authorization code had been used before.',
    remedy: 'Start the authorization again.',
    retry: false,
  },
  code_expired: {
    cause: 'The authorization code was older than the provider accepts.',
    remedy: 'Start the authorization again.',
    retry: false,
  },
  in_doubt: {
    cause:
      'A refresh token was presented and its answer was not kept: a crash during the exchange, or a connection that ended. Only the provider knows whether it was exchanged.',
    remedy:
      'Nothing to do: the token is presented again when the rules of the provider allow it. Where a journal is named, start its node or merge its journal.',
    retry: true,
  },
  too_early: {
    cause: 'The provider wants more time between two exchanges. The chain is intact.',
    remedy: 'Nothing to do: the exchange follows when the time has passed.',
    retry: true,
  },
  client_rejected: {
    cause: 'The provider did not accept the client id and secret of the app. The chain is intact.',
    remedy: 'Correct the client secret of the app; the exchange follows at once.',
    retry: true,
  },
  reauthorized_elsewhere: {
    cause: 'A newer authorization of the same app and account replaced this one.',
    remedy: 'Renew the grant, and give every system its own app or its own account.',
    retry: false,
  },
  wrong_account: {
    cause: 'The authorization was given by another account than the one this grant belongs to. Nothing was changed.',
    remedy: 'Renew again and sign in with the account of the grant.',
    retry: false,
  },
  lost_by_restore: {
    cause: 'The database was restored to an older state, and no journal holds the newer refresh token.',
    remedy: 'Merge the journals of the other nodes, or renew the grant.',
    retry: false,
  },
  upstream_fault: {
    cause:
      'The provider is away, or answered with something that is no answer of a token endpoint or says nothing about the refresh token. The chain is intact.',
    remedy: 'Nothing to do at first: it is asked again. If it lasts, look at what it said.',
    retry: true,
  },
  storage_fault: {
    cause: 'What the provider answered could not be kept at first.',
    remedy: 'Look at the disk and the database of the keeper.',
    retry: true,
  },
  unknown: {
    cause: 'The provider refused the refresh token and gave no reason that could be recognised.',
    remedy: 'Renew the grant, and read what the provider said.',
    retry: false,
  },
} as const satisfies Record<string, { cause: string; remedy: string; retry: boolean }>;

export type DiagnosisCode = keyof typeof DIAGNOSES;

/** What the provider said, without any secret. */
export interface Said {
  readonly status: number;
  readonly error: string | null;
  readonly description: string | null;
}

export interface Diagnosis {
  readonly code: DiagnosisCode;
  readonly since: Instant;
  /** What the provider said, where it said something. */
  readonly said: Said | null;
  /** What the chain's own record shows, in one sentence. */
  readonly evidence: string;
}

/** Whether a refusal says that the refresh token is dead, rather than: not now, or not by you. */
export function isFatal(means: Meaning): boolean {
  switch (means) {
    case 'too_early':
    case 'throttled':
    case 'client_rejected':
    case 'upstream_fault':
    case 'storage_fault':
      return false;
    default:
      return true;
  }
}
