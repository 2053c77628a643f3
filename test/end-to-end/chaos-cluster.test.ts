/** Three servers of their own processes on a real PostgreSQL, their clocks minutes apart: killed, frozen and cut off. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { accountOf } from '../chaos/account.ts';
import { call, history } from '../chaos/api.ts';
import { chaos, summary } from '../chaos/chaos.ts';
import { together } from '../chaos/ground.ts';
import { POLICY_NAMES, type PolicyName } from '../chaos/policies.ts';
import type { RealNode } from '../chaos/real-node.ts';
import { type Ring, World } from '../chaos/world.ts';

/** A slow machine only takes longer. */
const TIMEOUT_MS = 900_000;
const ROTATION_MS = 640_000;
const CALLERS = 1_000;
const TAKEN_OVER_WITHIN_MS = 15_000;

let cache: string;
beforeAll(() => {
  cache = mkdtempSync(join(tmpdir(), 'evergrant-chaos-cache-'));
});
afterAll(() => rmSync(cache, { recursive: true, force: true }));

/** Without clients of its own. */
async function quietWorld(policies: readonly PolicyName[], seed: string) {
  const ground = await together(seed);
  try {
    const world = await World.create({ seed, policies, grants: 1, hasClients: false, ...ground.place }, cache);
    return { world, close: () => world.close().then(() => ground[Symbol.asyncDispose]()) };
  } catch (error) {
    await ground[Symbol.asyncDispose]();
    throw error;
  }
}

function ask(world: World, node: RealNode | undefined, ring: Ring, wait = 30) {
  const api = world.api(node);
  if (!api) throw new Error(`${node?.name} is not up`);
  return call(api, 'POST', `/v1/grants/${ring.alias}/token`, { wait });
}

/** "Later" is told where a machine is slow; nobody gives up for that. */
async function askUntilTold(world: World, node: RealNode | undefined, ring: Ring) {
  for (;;) {
    const answer = await ask(world, node, ring);
    if (answer.status !== 503) return answer;
    await sleep(1000 * (answer.retryAfter ?? 1));
  }
}

const requests = ({ provider, user }: Ring) =>
  provider.emulator.control.ledger().filter((one) => one.endpoint === 'token' && one.user?.toLowerCase() === user);

test('a thousand callers at once on three servers share one exchange a rotation, and all get its token [S84]', {
  timeout: TIMEOUT_MS,
}, async () => {
  const { world, close } = await quietWorld(['exact-online'], 'callers');
  try {
    const [ring] = world.rings;
    if (!ring) throw new Error('There is no grant');
    for (let rotation = 1; rotation <= 3; rotation++) {
      await world.jump(ROTATION_MS);
      const answers = await Promise.all(
        Array.from({ length: CALLERS }, (_, i) => askUntilTold(world, world.nodes[i % world.nodes.length], ring)),
      );
      expect(new Set(answers.map(({ status, body }) => `${status} ${body.access_token}`)).size).toBe(1);
      expect(answers[0]?.status).toBe(200);
      // The first request was the authorization.
      expect(requests(ring)).toHaveLength(1 + rotation);
    }
  } finally {
    await close();
  }
});

/** Those whose rules let the others ask again as soon as they know. */
const FORGIVING = ['durable', 'window', 'until-successor-used', 'last-n'] as const;

test.each(FORGIVING)(
  'of a server killed with an exchange under way, the others have a token within 15 s, under rules "%s" [S84] [S39]',
  { timeout: TIMEOUT_MS },
  async (policy) => {
    const { world, close } = await quietWorld([policy], `take-over ${policy}`);
    try {
      const [ring] = world.rings;
      const [victim, other] = world.nodes;
      if (!ring || !victim) throw new Error('There is no grant');
      const { control } = ring.provider.emulator;
      control.addFaults([{ fault: 'hang', commit: 'after', match: { endpoint: 'token', user: ring.user } }]);
      await world.jump(ROTATION_MS);
      const asked = ask(world, victim, ring).catch(() => null);
      while (requests(ring).length < 2) await sleep(20);
      await victim.end('SIGKILL');
      const killedMs = performance.now();
      const answer = await askUntilTold(world, other, ring);
      const tookMs = performance.now() - killedMs;
      await asked;
      expect(answer.status, JSON.stringify(answer.body)).toBe(200);
      expect(tookMs).toBeLessThan(TAKEN_OVER_WITHIN_MS);
      const api = world.api(other);
      const { presentations, attempts } = accountOf(ring, api ? await history(api, ring.alias) : []);
      expect(presentations.map(({ attempt }) => attempt?.outcome)).toEqual(['crash', 'tokens']);
      expect(new Set(attempts.map(({ node }) => node)).size).toBe(2);
    } finally {
      await close();
    }
  },
);

test('20 kills of servers on PostgreSQL, which is harmed too, lose no chain that could have been kept, hide no call, and publish nothing twice [S39] [S84] [S106] [S113]', {
  timeout: TIMEOUT_MS,
}, async () => {
  const lines: string[] = [];
  const tell = (line: string) => lines.push(line);
  const report = await chaos({ store: 'postgres', kills: 20, seed: '2026', policies: POLICY_NAMES, tell });
  console.log(summary(report));
  expect(report.wrongs, lines.join('\n')).toEqual([]);
  expect(report.kills).toBe(20);
});
