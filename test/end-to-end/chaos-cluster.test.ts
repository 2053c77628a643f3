/** Three servers of their own processes on a real PostgreSQL, their clocks minutes apart: asked by many, and killed. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { accountOf } from '../chaos/account.ts';
import { call, history } from '../chaos/api.ts';
import type { Cluster } from '../chaos/cluster.ts';
import { together } from '../chaos/ground.ts';
import { kill, pass } from '../chaos/harms.ts';
import type { RealNode } from '../chaos/real-node.ts';
import { type Ring, World } from '../chaos/world.ts';

/** Those whose rules let the others ask again as soon as they know; and one whose callers are many. */
const FORGIVING = ['durable', 'window', 'until-successor-used', 'last-n'] as const;
const CROWDED = 'exact-online';
/** A slow machine only takes longer. */
const TIMEOUT_MS = 900_000;
const ROTATION_MS = 640_000;
const CALLERS = 1_000;
const LEASE_MS = 10_000;
/** And a look at the others. */
const TAKEN_OVER_S = 13;

const opened = new AsyncDisposableStack();
let world: World;
let cluster: Cluster;

beforeAll(async () => {
  const ground = opened.use(await together('callers'));
  const policies = [...FORGIVING, CROWDED] as const;
  world = await World.create({ seed: 'callers', policies, grants: 1, hasClients: false, ...ground.place });
  opened.defer(() => world.close());
  cluster = ground.cluster;
}, TIMEOUT_MS);
afterAll(() => opened.disposeAsync(), TIMEOUT_MS);

function ringOf(policy: string): Ring {
  const ring = world.rings.find(({ provider }) => provider.name === policy);
  if (!ring) throw new Error(`There is no grant of ${policy}`);
  return ring;
}

function ask(node: RealNode | undefined, ring: Ring, wait = 30) {
  const api = world.api(node);
  if (!api) throw new Error(`${node?.name} is not up`);
  return call(api, 'POST', `/v1/grants/${ring.alias}/token`, { wait });
}

/** "Later" is told where a machine is slow; nobody gives up for that. */
async function askUntilTold(node: RealNode | undefined, ring: Ring) {
  for (;;) {
    const answer = await ask(node, ring);
    if (answer.status !== 503) return answer;
    await sleep(1000 * (answer.retryAfter ?? 1));
  }
}

const requests = ({ provider, user }: Ring) =>
  provider.emulator.control.ledger().filter((one) => one.endpoint === 'token' && one.user?.toLowerCase() === user);

test('a thousand callers at once on three servers share one exchange a rotation, and all get its token [S84]', {
  timeout: TIMEOUT_MS,
}, async () => {
  const ring = ringOf(CROWDED);
  for (let rotation = 1; rotation <= 3; rotation++) {
    await world.jump(ROTATION_MS);
    const answers = await Promise.all(
      Array.from({ length: CALLERS }, (_, i) => askUntilTold(world.nodes[i % world.nodes.length], ring)),
    );
    expect(new Set(answers.map(({ status, body }) => `${status} ${body.access_token}`)).size).toBe(1);
    expect(answers[0]?.status).toBe(200);
    // The first request was the authorization.
    expect(requests(ring)).toHaveLength(1 + rotation);
  }
});

test.each(FORGIVING)(
  'of a server killed with an exchange under way, the others have a token when its lease of 10 s is over, under rules "%s" [S84] [S39]',
  { timeout: TIMEOUT_MS },
  async (policy) => {
    const ring = ringOf(policy);
    const [victim, other] = world.nodes;
    if (!victim || !other) throw new Error('There are no servers');
    const { control } = ring.provider.emulator;
    const since = requests(ring).length;
    control.addFaults([{ fault: 'hang', commit: 'after', match: { endpoint: 'token', user: ring.user } }]);
    await world.jump(ROTATION_MS);
    const asked = ask(victim, ring).catch(() => null);
    while (requests(ring).length === since) await sleep(20);
    await kill(world, victim);
    expect(await cluster.leaseLeftMs(victim.name)).toBeLessThanOrEqual(LEASE_MS);
    // Once so much time has passed, nobody needs to ask.
    await pass(world, TAKEN_OVER_S);
    while (requests(ring).length < since + 2) await sleep(20);
    const answer = await askUntilTold(other, ring);
    await asked;
    expect(answer.status, JSON.stringify(answer.body)).toBe(200);
    const api = world.api(other);
    const { presentations, attempts } = accountOf(ring, api ? await history(api, ring.alias) : []);
    expect(presentations.slice(-2).map(({ attempt }) => attempt?.outcome)).toEqual(['crash', 'tokens']);
    expect(new Set(attempts.slice(-2).map(({ node }) => node)).size).toBe(2);
    await world.start(victim);
  },
);
