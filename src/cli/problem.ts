/**
 * What went wrong, in the one shape that the API, this machine and the command line share (RFC 9457), and the exit
 * code that belongs to it.
 */
import { ERRORS, type ErrorCode, EvergrantError } from '../core/errors.ts';

export interface Problem {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  readonly remedy: string;
  /** The members that only some problems have: `retry_after`, `grant`, `renew_url`, `diagnosis`. */
  readonly [more: string]: unknown;
}

/** A problem that the server answered with. */
export class Refused extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail);
    this.name = 'Refused';
    this.problem = problem;
  }
}

/** A wrong use of a command: exit code 2. */
export function usageError(message: string, remedy: string): EvergrantError {
  return new EvergrantError('usage', message, { remedy });
}

/** Any error as a problem. What is no `EvergrantError` is a slip of ours, and says so. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Refused) return error.problem;
  if (error instanceof EvergrantError) return ofEvergrant(error);
  return {
    status: ERRORS.internal_error.status,
    code: 'internal_error',
    title: ERRORS.internal_error.title,
    detail: error instanceof Error ? error.message : String(error),
    remedy: 'This is a fault of Evergrant: please report it, with EVERGRANT_LOG=debug for more.',
  };
}

function ofEvergrant(error: EvergrantError): Problem {
  const { remedy, grant, retryAfterMs, renewUrl, diagnosis } = error.details;
  return {
    status: error.status,
    code: error.code,
    title: ERRORS[error.code].title,
    detail: error.message,
    remedy,
    ...(grant === undefined ? {} : { grant }),
    ...(retryAfterMs === undefined ? {} : { retry_after: Math.ceil(retryAfterMs / 1000) }),
    ...(renewUrl === undefined ? {} : { renew_url: renewUrl }),
    ...(diagnosis === undefined ? {} : { diagnosis: { code: diagnosis.code } }),
  };
}

export function exitCodeOf(problem: Problem): number {
  if (isKnown(problem.code)) return ERRORS[problem.code].exit;
  // A code of a newer server: its status still tells whether trying later makes sense.
  return problem.status === 429 || problem.status === 503 ? 75 : 1;
}

function isKnown(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}

/** A problem as a person reads it. */
export function describe(problem: Problem): string {
  const lines = [`evergrant: ${problem.detail}`, `Remedy: ${problem.remedy}`];
  if (typeof problem.renew_url === 'string') lines.push(`Renew here: ${problem.renew_url}`);
  if (typeof problem.retry_after === 'number') lines.push(`Try again in ${problem.retry_after} s.`);
  return lines.join('\n');
}
