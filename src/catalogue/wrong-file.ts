/** What is wrong in a provider file, said so that it can be found: file, place, reason. */
import type { z } from 'zod';
import { EvergrantError } from '../core/errors.ts';

export interface Fault {
  /** JSON Pointer into the file; empty for the file as a whole. */
  readonly at: string;
  readonly reason: string;
}

export function wrongFile(file: string, faults: readonly Fault[]): EvergrantError {
  const lines = faults.map(({ at, reason }) => `${file}${at && ` at ${at}`}: ${reason}`);
  return new EvergrantError('setting', lines.join('\n'), {
    remedy: `Correct the file; its form is described by providers/schema.json. Check it with: evergrant providers check ${file}`,
  });
}

export function faultsOf(error: z.ZodError): readonly Fault[] {
  return error.issues.flatMap((issue) => {
    const at = pointerTo(issue.path);
    if (issue.code !== 'unrecognized_keys') return [{ at, reason: issue.message }];
    return issue.keys.map((key) => ({ at: `${at}${pointerTo([key])}`, reason: 'there is no such key' }));
  });
}

function pointerTo(path: readonly PropertyKey[]): string {
  return path.map((key) => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}
