/**
 * What an answer means that somebody shows us, without a chain to compare it with: by the provider's own table of
 * errors, by texts of known systems, by RFC 6749. Gives only our words: nothing of what was shown comes back.
 */
import { DIAGNOSES, type DiagnosisCode, type Meaning } from '../core/diagnosis.ts';
import { ERRORS } from '../core/errors.ts';
import { type ForeignCode, foreignCodeIn } from '../core/foreign-codes.ts';
import type { Instant } from '../core/instant.ts';
import { type AnswerShape, type RawAnswer, readTokenResponse, type TokenResponse } from './token-response.ts';

export interface Finding {
  readonly code: DiagnosisCode | 'account_taken';
  readonly cause: string;
  readonly remedy: string;
  /** Whether asking again, unchanged, may help. */
  readonly retry: boolean;
  /** The entry of the provider's table that it matches; null where it was read otherwise. */
  readonly entry: number | null;
  readonly sources: readonly { readonly source: string; readonly grade: string; readonly note: string | null }[];
}

export function diagnoseAnswer(answer: RawAnswer, shape: AnswerShape, now: Instant): Finding {
  const read = readTokenResponse(answer, shape, { now, secrets: [] });
  if (read.kind === 'tokens') return NO_ERROR;
  const entry = read.kind === 'refused' ? entryOf(answer, shape, now) : null;
  const means = entry === null ? null : (shape.errors[entry]?.means ?? null);
  if (means !== null && means in DIAGNOSES) return { ...ofCode(means as DiagnosisCode), entry };
  const foreign = foreignCodeIn(textOf(answer));
  return foreign ? ofForeign(foreign) : { ...byStandard(read), entry };
}

/** The first entry of the provider's table that decides what the answer means. */
function entryOf(answer: RawAnswer, shape: AnswerShape, now: Instant): number | null {
  const meaning = (errors: AnswerShape['errors']): Meaning | null => {
    const read = readTokenResponse(answer, { ...shape, errors }, { now, secrets: [] });
    return read.kind === 'refused' ? read.means : null;
  };
  const usual = meaning([]);
  const found = shape.errors.findIndex((one) => meaning([one]) === one.means && one.means !== usual);
  return found === -1 ? null : found;
}

function textOf(answer: RawAnswer): string {
  return `${new TextDecoder().decode(answer.body)}\n${answer.headers.reason ?? ''}`;
}

const RFC_6749 = { source: 'https://www.rfc-editor.org/rfc/rfc6749#section-5.2', grade: 'documented', note: null };

const NO_ERROR: Finding = {
  code: 'unknown',
  cause: 'This is no error: the answer holds tokens, whatever its status. They are not repeated here.',
  remedy: 'Keep the tokens; and do not show them around: this answer should be treated as leaked.',
  retry: false,
  entry: null,
  sources: [RFC_6749],
};

function ofCode(code: DiagnosisCode): Omit<Finding, 'entry'> {
  return { code, ...DIAGNOSES[code], sources: [] };
}

function ofForeign({ system, code, means, note, remedy, source, grade }: ForeignCode): Finding {
  const usual =
    means === 'account_taken'
      ? { cause: `${ERRORS.account_taken.title}.`, remedy: '', retry: false }
      : { ...DIAGNOSES[means] };
  return {
    code: means,
    cause: usual.cause,
    remedy: remedy ?? usual.remedy,
    retry: usual.retry,
    entry: null,
    sources: [{ source, grade, note: `${system}, ${code}: ${note}` }],
  };
}

/** Without a table: RFC 6749 section 5.2, and what HTTP says of the status. */
function byStandard(read: Exclude<TokenResponse, { kind: 'tokens' }>): Omit<Finding, 'entry'> {
  const { status } = read.said;
  if (read.kind === 'unreadable') return status >= 500 || status === 408 ? FAULT : UNREADABLE;
  switch (read.means) {
    case 'client_rejected':
      return { ...ofCode('client_rejected'), sources: [RFC_6749] };
    case 'throttled':
      return THROTTLED;
    case 'invalid_grant':
      return DEAD;
    default:
      return read.means in DIAGNOSES && read.means !== 'upstream_fault' ? ofCode(read.means) : UNREADABLE;
  }
}

const FAULT = {
  ...ofCode('upstream_fault'),
  remedy: 'Ask again later. The request may have had its effect all the same: the chain is in doubt until then.',
};

const THROTTLED = {
  ...ofCode('upstream_fault'),
  cause: 'The provider answers too many requests with this. It says nothing about the refresh token.',
  remedy: 'Ask again after the time in Retry-After, and find who asks so often.',
  sources: [{ source: 'https://www.rfc-editor.org/rfc/rfc6585#section-4', grade: 'documented', note: null }],
};

const DEAD = {
  ...ofCode('unknown'),
  cause:
    'The refresh token is dead, and the answer does not tell of what: used, replaced, expired or revoked (RFC 6749 has one word for all).',
  remedy: 'Renew the grant. For a grant that is kept here, its record tells more: evergrant doctor ALIAS',
  sources: [RFC_6749],
};

const UNREADABLE = {
  ...ofCode('unknown'),
  cause: 'Neither the error table of the provider, nor the known texts of other systems, nor RFC 6749 has this answer.',
  remedy: 'Check status and body for what was cut off; read what the provider documents about it.',
};
