/** The proxy in front of an emulated Exact Online, in a process of its own, while the provider has good and bad days. */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { World } from '../support/servers.ts';

let world: World;
beforeAll(async () => {
  world = await World.create(7);
  await world.start();
  await world.connect('eol');
});
afterAll(() => world.close());

const ask = (path = '/v1/1/crm/Accounts') => world.api('GET', `/proxy/eol${path}`);
/** The same, while time passes as fast as the caller waits. */
async function askPatiently(path?: string) {
  const asked = ask(path);
  for (let isAnswered = false; !isAnswered; ) {
    isAnswered = await Promise.race([asked.then(() => true), pause(50).then(() => false)]);
    if (!isAnswered) await world.advance(10);
  }
  return asked;
}

const calls = () => world.provider.control.ledger().filter(({ endpoint }) => endpoint === 'api');

/** The emulator and the server count minutes alike; the steps of a test take seconds. */
async function beginMinute(): Promise<void> {
  await world.advance(61 - (Math.floor(Date.parse(world.provider.control.state().now) / 1000) % 60));
}

test('[S43] [S88] many companies are read by many callers at once, and the provider refuses none of the calls', async () => {
  await beginMinute();
  await ask('/v1/1/crm/Accounts');
  const paths = Array.from({ length: 150 }, (_, i) => `/v1/${(i % 2) + 1}/crm/Accounts?$skip=${i}`);
  const answers = await Promise.all(paths.map((path) => ask(path)));
  const served = answers.filter(({ status }) => status === 200).length;
  const refused = answers.filter(({ status }) => status === 429);
  expect([served > 75, served + refused.length]).toEqual([true, 150]);
  for (const { headers } of refused) expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
  // What was too much was refused here; the provider never had to.
  expect(calls().filter(({ reason }) => reason === 'limit')).toEqual([]);
});

test('[S47] the token endpoint is away for five minutes while the token lives: no caller notices', async () => {
  await world.advance(61);
  world.provider.control.addFaults(
    Array.from({ length: 3 }, () => ({ match: { endpoint: 'token' }, fault: 'http-503' })),
  );
  for (let minute = 0; minute < 5; minute++) {
    expect((await ask()).status).toBe(200);
    await world.advance(60);
  }
});

test('[S47] [S48] beyond that it is a 503 with Retry-After, and nothing is lost: once the provider is back, so are the callers', async () => {
  await world.advance(300);
  const away = await askPatiently();
  expect([away.status, Number(away.headers.get('retry-after')) > 0]).toEqual([503, true]);
  expect(away.body).toMatchObject({ code: expect.stringMatching(/upstream_unavailable|in_doubt|too_early/) });
  for (let minute = 0; minute < 30 && world.provider.control.state().faults.length > 0; minute++) {
    await world.advance(60);
    expect((await askPatiently()).status).toBeOneOf([200, 503]);
  }
  await world.advance(120);
  expect((await askPatiently()).status).toBe(200);
});

test('[S45] [S46] an hour without demand sends nothing to the API, and fifty calls after it need one exchange', async () => {
  const before = [calls().length, world.exchanges().length];
  await world.advance(3_600);
  expect(calls()).toHaveLength(before[0] ?? 0);
  const since = world.exchanges().length;
  const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => ask(`/v1/${i + 10}/x`)));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  expect(world.exchanges().length - since).toBe(1);
});
