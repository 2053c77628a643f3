import { uptime } from 'node:os';
import { expect, test } from 'vitest';
import { elapsed } from '../core/instant.ts';
import { createClock, type Machine, systemClock } from './system-clock.ts';

/** A machine whose clocks a test moves. Its uptime is only good to ten milliseconds, as Linux tells it. */
function machine() {
  const state = { wall: 1_800_000_000_000, monotonic: 50, slept: 3_000_000 };
  const port: Machine = {
    wallMs: () => state.wall,
    monotonicMs: () => state.monotonic,
    uptimeMs: () => Math.floor((state.monotonic + state.slept) / 10) * 10,
    boot: () => 'boot',
  };
  const pass = (ms: number) => {
    state.wall += ms;
    state.monotonic += ms;
  };
  return { state, port, pass };
}

test('time never goes backwards within a boot, whatever the wall clock does', () => {
  const { state, port, pass } = machine();
  const clock = createClock(port);
  let before = clock.moment();
  for (let i = 0; i < 5000; i++) {
    pass((i * 7) % 13);
    if (i % 50 === 0) state.wall -= 5_000;
    const now = clock.moment();
    expect(now.uptimeMs).toBeGreaterThanOrEqual(before.uptimeMs);
    before = now;
  }
});

test('time asleep counts, from the first look after waking on', () => {
  const { state, port, pass } = machine();
  const clock = createClock(port);
  const before = clock.moment();
  pass(10);
  // The monotonic clock stands still while the machine sleeps.
  state.slept += 600_000;
  state.wall += 600_000;
  expect(elapsed(before, clock.moment()).atLeastMs).toBeGreaterThanOrEqual(599_990);
});

test('time that passed is told within the precision of the system, over hours', () => {
  const { port, pass } = machine();
  const clock = createClock(port);
  const before = clock.moment();
  for (let i = 0; i < 36_000; i++) {
    pass(100.3);
    clock.moment();
  }
  expect(Math.abs(elapsed(before, clock.moment()).atLeastMs - 36_000 * 100.3)).toBeLessThan(20);
});

test('this machine names its boot and counts from it', () => {
  const [up, now] = [uptime() * 1000, Date.now()];
  const { boot, uptimeMs, at } = systemClock.moment();
  const [upAfter, nowAfter] = [uptime() * 1000, Date.now()];
  expect(boot.length).toBeGreaterThan(10);
  expect(systemClock.moment().boot).toBe(boot);
  expect(uptimeMs).toBeGreaterThan(up - 100);
  expect(uptimeMs).toBeLessThan(upAfter + 100);
  expect(at).toBeGreaterThan(now - 100);
  expect(at).toBeLessThan(nowAfter + 100);
});

test('asking for the moment is cheap enough for every request', () => {
  const times = Array.from({ length: 5 }, () => {
    const from = process.cpuUsage();
    for (let i = 0; i < 100_000; i++) systemClock.moment();
    const { user, system } = process.cpuUsage(from);
    return (user + system) / 100_000;
  });
  // About 0.2 µs of the processor; the limit leaves room for a slow one.
  expect(Math.min(...times)).toBeLessThan(1);
});

test('sleeping takes its time, ends at once when aborted, and never rejects', async () => {
  const from = performance.now();
  await systemClock.sleep(30);
  expect(performance.now() - from).toBeGreaterThanOrEqual(29);
  await systemClock.sleep(-5);
  const controller = new AbortController();
  const sleeping = systemClock.sleep(Number.POSITIVE_INFINITY, controller.signal);
  controller.abort();
  await expect(sleeping).resolves.toBeUndefined();
  await expect(systemClock.sleep(60_000, controller.signal)).resolves.toBeUndefined();
});
