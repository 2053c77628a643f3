import { describe, expect, test, vi } from 'vitest';
import { NOW } from './fake-keeper.ts';
import { UnderwayRequests } from './proxy-underway.ts';

/** Requests on a clock whose seconds pass when the test says so. */
function underway() {
  const sleepers: (() => void)[] = [];
  const sleep = (_: number, signal?: AbortSignal) =>
    new Promise<void>((done) => {
      sleepers.push(done);
      signal?.addEventListener('abort', () => done());
    });
  const requests = new UnderwayRequests({ now: () => NOW, moment: () => ({ at: NOW, boot: '', uptimeMs: 0 }), sleep });
  const pass = async () => {
    for (const wake of sleepers.splice(0)) wake();
    await new Promise(setImmediate);
  };
  const add = (right: string, stillMay: () => Promise<boolean>) => {
    const end = vi.fn();
    return { end, over: requests.add({ right, stillMay, end }) };
  };
  return { requests, pass, add, sleepers };
}

describe('what is under way', () => {
  test('ends for all who have a right that is lost, and is asked about once', async () => {
    const { add, pass } = underway();
    const lost = vi.fn(async () => false);
    const [one, two, other] = [add('a', lost), add('a', lost), add('b', async () => true)];
    await pass();
    expect([one.end.mock.calls.length, two.end.mock.calls.length, other.end.mock.calls.length]).toEqual([1, 1, 0]);
    expect(lost).toHaveBeenCalledOnce();
  });

  test('goes on where nobody can tell; one who is slow to answer holds up no other, and nothing is left to fail', async () => {
    const { add, pass } = underway();
    const slow = add('a', () => new Promise(() => undefined));
    const away = add('b', () => Promise.reject(new Error('the store is away')));
    await pass();
    const lost = add('c', async () => false);
    await pass();
    expect([slow.end.mock.calls.length, away.end.mock.calls.length, lost.end.mock.calls.length]).toEqual([0, 0, 1]);
  });

  test('costs nothing when it is over, and is not looked at when the server stops', async () => {
    const { requests, add, pass, sleepers } = underway();
    const asked = vi.fn(async () => false);
    add('a', asked).over();
    await pass();
    expect([asked.mock.calls.length, sleepers.length]).toEqual([0, 0]);
    add('b', asked);
    requests.stop();
    await pass();
    expect([asked.mock.calls.length, sleepers.length]).toEqual([0, 0]);
  });
});
