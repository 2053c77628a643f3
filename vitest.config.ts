import { defineConfig } from 'vitest/config';
import { COMPILE_CACHE } from './test/support/compile-cache.ts';

// Three projects: `unit` (pure or in-process, beside the code), `end-to-end` (real processes, real browser), and
// `crashes`: real processes that are killed. Those wait more than they work, each in a world of its own, so they overlap.
const env = { NODE_COMPILE_CACHE: COMPILE_CACHE };
const CRASHES = ['test/end-to-end/crash.test.ts', 'test/end-to-end/chaos*.test.ts'];

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts', 'test/*.test.ts', 'test/contract/**/*.test.ts'],
          // How fast a machine is decides no test; this only ends one that hangs.
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'end-to-end',
          include: ['test/end-to-end/**/*.test.ts'],
          exclude: CRASHES,
          env,
          // As above: a busy machine only takes longer.
          testTimeout: 300_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'crashes',
          include: CRASHES,
          env,
          testTimeout: 900_000,
          hookTimeout: 300_000,
          maxWorkers: 3,
        },
      },
    ],
  },
});
