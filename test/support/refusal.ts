/** What the keeper refuses with. */
import { EvergrantError } from '../../src/core/errors.ts';

/** Rejects where it is not refused. */
export function refusal(promise: Promise<unknown>): Promise<EvergrantError> {
  return promise.then(
    () => Promise.reject(new Error('It was not refused.')),
    (error: unknown) => (error instanceof EvergrantError ? error : Promise.reject(error as Error)),
  );
}

export function codeOf(error: unknown): string {
  return error instanceof EvergrantError ? error.code : String(error);
}
