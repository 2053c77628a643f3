/** Stops in good order: what is on the wire is kept before the process ends. */
import type { RunningApp } from '../app.ts';
import { now } from '../client/time.ts';
import { say } from './output.ts';

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const;
type StopSignal = keyof typeof EXIT_CODES;

/** Ctrl-C reaches a process from the terminal, and again from a parent that passes it on: that is one signal. */
const SAME_SIGNAL_MS = 100;

/**
 * On SIGTERM or SIGINT closes the app and exits: with 0 as a server, with the signal's own code as a command that was
 * cut short. A second signal exits at once.
 */
export function closeOnSignals(app: RunningApp, as: 'server' | 'command'): void {
  let firstAt: number | null = null;
  const stop = async (signal: StopSignal): Promise<void> => {
    if (firstAt !== null) {
      if (now() - firstAt >= SAME_SIGNAL_MS) process.exit(EXIT_CODES[signal]);
      return;
    }
    firstAt = now();
    try {
      await app.close();
      process.exit(as === 'server' ? 0 : EXIT_CODES[signal]);
    } catch (error) {
      say(`evergrant: the stop failed: ${error instanceof Error ? error.message : 'unknown'}`);
      process.exit(1);
    }
  };
  process.on('SIGINT', () => void stop('SIGINT'));
  process.on('SIGTERM', () => void stop('SIGTERM'));
}
