/** Why there is no token: what Evergrant said (RFC 9457 at its API, RFC 6749 section 5.2 at its token endpoint). */
import type { ApiAnswer } from './request.ts';

export class EvergrantProblem extends Error {
  /** HTTP status. */
  readonly status: number;
  /** Stable, as in `authorization_required`: see docs/errors.md. At the token endpoint, the OAuth error. */
  readonly code: string;
  readonly remedy: string | null;
  /** Seconds until asking again makes sense; null where waiting does not help. */
  readonly retryAfter: number | null;
  /** Where a person renews the grant. */
  readonly renewUrl: string | null;

  constructor({ status, headers, body }: ApiAnswer) {
    const said = objectIn(body);
    const detail = textOf(said.detail) ?? textOf(said.error_description) ?? textOf(said.title);
    const code = textOf(said.code) ?? textOf(said.error) ?? 'not_evergrant';
    super(detail ?? `Evergrant answered with status ${status} (${code}).`);
    this.name = 'EvergrantProblem';
    this.status = status;
    this.code = code;
    this.remedy = textOf(said.remedy);
    const retryAfter = Number(headers['retry-after'] ?? said.retry_after ?? Number.NaN);
    this.retryAfter = retryAfter >= 0 ? retryAfter : null;
    this.renewUrl = textOf(said.renew_url);
  }
}

/** Empty where it is no JSON object. */
export function objectIn(body: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

export function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
