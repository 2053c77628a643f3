/** Chance from the operating system, fit for secrets. */
import { randomBytes } from 'node:crypto';
import type { Random } from '../ports/random.ts';

export const systemRandom: Random = { bytes: (count) => randomBytes(count) };
