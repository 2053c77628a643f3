/** Real processes, killed with `kill -9` at every step of an exchange, under Exact Online's rules. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { EXCHANGE_STEPS } from '../../src/keeper/parts.ts';
import { eventually, World } from '../support/servers.ts';

const SPACING_S = 572;
const token = (world: World, wait = 0) => world.api('POST', '/v1/grants/eol/token', { wait });

/** A world whose server dies at a step of the exchange that a caller asked for; its grant was connected before. */
async function crashedAt(step: string, seed: number): Promise<World> {
  const world = await World.create(seed);
  await world.start();
  await world.connect('eol');
  await world.advance(SPACING_S + 30);
  if (step !== 'in flight') await world.crashAt(step);
  else world.provider.control.addFaults([{ fault: 'hang', commit: 'after' }]);
  const asked = token(world, 30).catch(() => null);
  if (step === 'in flight') {
    await eventually(
      async () => world.exchanges().length,
      (count) => count === 1,
    );
    await world.signal('SIGKILL');
  } else expect(await world.ended()).toBe('SIGKILL');
  await asked;
  return world;
}

/** "In a second" is said while something is under way: time waits for that, as long as so many questions take. */
const PATIENCE = 20;

/** Lets time pass as a client is told to wait, until there is a token. */
async function recovers(world: World, mostSeconds: number): Promise<void> {
  for (let [passed, asked] = [0, 0]; passed <= mostSeconds; ) {
    const answer = await token(world);
    if (answer.status === 200) return;
    expect(answer.status, JSON.stringify(answer.body)).toBe(503);
    const seconds = Number(answer.headers.get('retry-after'));
    expect(seconds).toBeGreaterThan(0);
    if (seconds <= 1 && ++asked < PATIENCE) await sleep(100);
    else {
      await world.advance(seconds);
      passed += seconds;
      asked = 0;
    }
  }
  throw new Error(`no token within ${mostSeconds} s: ${JSON.stringify((await token(world)).body)}\n${world.output}`);
}

/** Two more exchanges go well: the chain is whole, not merely a token from memory. */
async function goesOn(world: World): Promise<void> {
  for (let i = 0; i < 2; i++) {
    await world.advance(SPACING_S + 30);
    const answer = await token(world, 30);
    expect(answer.status, JSON.stringify(answer.body)).toBe(200);
  }
  const { body } = await world.api('GET', '/v1/grants/eol');
  expect(body).toMatchObject({ state: 'active', generation: 1 });
}

/** Successful exchanges are never closer than the provider's spacing, by the provider's own ledger. */
function keepsSpacing(world: World): void {
  const times = world.issues().map((entry) => Date.parse(entry.time));
  for (const [i, time] of times.entries()) {
    if (i > 0) expect(time - (times[i - 1] ?? 0)).toBeGreaterThanOrEqual(570_000);
  }
}

const STEPS = [...EXCHANGE_STEPS.slice(0, 3), 'in flight', ...EXCHANGE_STEPS.slice(3)];

describe.concurrent('kill -9 under the rules of Exact Online', () => {
  test.each(STEPS.map((step, i) => [step, i] as const))(
    'at "%s", started again within 60 seconds: the chain is kept [S15] [S39]',
    async (step, i) => {
      const world = await crashedAt(step, 100 + i);
      try {
        await world.advance(50);
        await world.start();
        await recovers(world, 700);
        await goesOn(world);
        keepsSpacing(world);
      } finally {
        await world.close();
      }
    },
  );

  // What was received, but not yet kept anywhere, is lost with the process like an answer that never came.
  const LOSING = new Set(['in flight', 'received']);

  test.each(STEPS.filter((step) => !LOSING.has(step)).map((step, i) => [step, i] as const))(
    'at "%s", started again after the window of 600 seconds: the chain is kept [S39]',
    async (step, i) => {
      const world = await crashedAt(step, 200 + i);
      try {
        await world.advance(900);
        await world.start();
        await recovers(world, 60);
        await goesOn(world);
        keepsSpacing(world);
      } finally {
        await world.close();
      }
    },
  );

  test.each([...LOSING].map((step, i) => [step, i] as const))(
    'at "%s", started again after that window: the diagnosis says that the successor was lost, and renewing helps [S16] [S38] [S39]',
    async (step, i) => {
      const world = await crashedAt(step, 300 + i);
      try {
        await world.advance(900);
        await world.start();
        const answer = await eventually(
          () => token(world),
          ({ status }) => status === 409,
        );
        expect(answer.body).toMatchObject({ code: 'authorization_required', diagnosis: { code: 'successor_lost' } });
        expect(answer.body.diagnosis.evidence).toContain('stopped before the answer was kept');
        expect(answer.body.diagnosis.said.description).toBe('Old refresh token used.');
        const renewal = await world.api('POST', '/v1/grants/eol/renew', {});
        expect((await world.authorize(renewal.body.authorization_url)).status).toBe(200);
        expect((await token(world)).status).toBe(200);
        expect((await world.api('GET', '/v1/grants/eol')).body).toMatchObject({ state: 'active', generation: 2 });
      } finally {
        await world.close();
      }
    },
  );
});

describe.concurrent('SIGTERM', () => {
  test('while an exchange is on the wire waits for its answer, keeps it, and exits with 0', async () => {
    const world = await World.create(400);
    try {
      await world.start();
      await world.connect('eol');
      await world.advance(SPACING_S + 30);
      world.provider.control.addFaults([{ fault: 'delay', ms: 1_500 }]);
      const asked = token(world, 0).catch(() => null);
      await eventually(
        async () => (await world.api('GET', '/v1/grants/eol')).body.state,
        (state) => state === 'in_doubt',
      );
      expect(await world.signal('SIGTERM')).toBe(0);
      await asked;
      await world.start();
      expect((await token(world)).status).toBe(200);
      expect(world.exchanges()).toHaveLength(1);
    } finally {
      await world.close();
    }
  });

  test('while a caller waits for a time to come tells it to ask again, and does not wait for that time', async () => {
    const world = await World.create(402);
    try {
      await world.start();
      await world.connect('eol');
      await world.advance(500);
      const asked = world.api('POST', '/v1/grants/eol/token', { min_ttl: 500, wait: 120 });
      // The caller is in when the server has counted its connection; asking for something else shows that.
      await eventually(
        () => world.api('GET', '/v1/grants/eol'),
        ({ status }) => status === 200,
      );
      const ended = world.signal('SIGTERM');
      expect((await asked).body).toMatchObject({ code: 'shutting_down', status: 503 });
      expect(
        await Promise.race([
          ended,
          eventually(
            async () => null,
            () => false,
            100_000,
          ).catch(() => 'still there'),
        ]),
      ).toBe(0);
    } finally {
      await world.close();
    }
  });

  test('while nothing is on the wire exits with 0', async () => {
    const world = await World.create(401);
    try {
      await world.start();
      await world.connect('eol');
      expect(await world.signal('SIGTERM')).toBe(0);
      await world.start();
      expect((await token(world)).status).toBe(200);
    } finally {
      await world.close();
    }
  });
});
