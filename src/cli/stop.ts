/** Stops in good order: what is on the wire is kept before the process ends. */
import type { RunningApp } from '../app.ts';

const NUMBERS = { SIGINT: 130, SIGTERM: 143 } as const;
type StopSignal = keyof typeof NUMBERS;

/**
 * On SIGTERM or SIGINT closes the app and exits: with 0 as a server, with the signal's own code as a command that was
 * cut short. A second signal exits at once.
 */
export function closeOnSignals(app: RunningApp, as: 'server' | 'command'): void {
  let stopping = false;
  const stop = async (signal: StopSignal): Promise<void> => {
    if (stopping) process.exit(NUMBERS[signal]);
    stopping = true;
    try {
      await app.close();
      process.exit(as === 'server' ? 0 : NUMBERS[signal]);
    } catch (error) {
      process.stderr.write(`evergrant: the stop failed: ${error instanceof Error ? error.message : 'unknown'}\n`);
      process.exit(1);
    }
  };
  process.on('SIGINT', () => void stop('SIGINT'));
  process.on('SIGTERM', () => void stop('SIGTERM'));
}
