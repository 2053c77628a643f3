/**
 * Where processes that tests start keep what they compiled (`NODE_COMPILE_CACHE`): most of the work of a start is
 * translating the same code again. A process that will be killed writes it itself (`flushCompileCache`).
 */
import { join } from 'node:path';

export const COMPILE_CACHE = join(import.meta.dirname, '../../node_modules/.cache/evergrant-tests');
