/**
 * A server of its own process that kills itself (SIGKILL, no goodbye) when an exchange reaches a named step. Its clock
 * is the machine's, shifted by what the test says. Started by `servers.ts`, spoken to over IPC.
 */
import { flushCompileCache } from 'node:module';
import { type Settings, startApp } from '../../src/app.ts';
import { ShiftedClock } from './shifted-clock.ts';

export interface CrashOrder {
  readonly settings: Settings;
  readonly offsetMs: number;
}

export interface CrashMessage {
  readonly advance?: number;
  /** A step of an exchange. */
  readonly crashAt?: string;
}

const order = JSON.parse(process.argv[2] ?? '') as CrashOrder;
const clock = new ShiftedClock(order.offsetMs);
let crashAt: string | null = null;

function onStep(step: string): void {
  if (step !== crashAt) return;
  process.kill(process.pid, 'SIGKILL');
  // The signal may take a moment to arrive; nothing may happen in it.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

process.on('message', (message: CrashMessage) => {
  if (message.advance !== undefined) clock.advance(message.advance);
  if (message.crashAt !== undefined) crashAt = message.crashAt;
  process.send?.({ done: true });
});

const app = await startApp(order.settings, 'all', { onStep, clock });
process.on('SIGTERM', () => {
  void app.close().then(() => process.exit(0));
});
// A process that is killed writes none at its end.
flushCompileCache();
process.send?.({ origin: app.origin, adminKey: app.adminKey.text });
