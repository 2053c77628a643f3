/** The judges of harmed servers find what is planted in a real one, and nothing in one that is as it should be. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Director } from '../chaos/director.ts';
import { alone } from '../chaos/ground.ts';
import { type AnyHarm, SLOW_MS } from '../chaos/harms.ts';
import type { PlantedName } from '../chaos/planted.ts';
import { World } from '../chaos/world.ts';

/** A slow machine only takes longer. */
const TIMEOUT_MS = 900_000;

interface Blow {
  readonly harm: AnyHarm;
  readonly fault?: {
    readonly fault: 'delay' | 'truncate-body';
    readonly ms?: number;
    readonly at?: 'after-refresh-token';
  };
}

/** What each of these faults needs to show itself. */
const BLOWS: Readonly<Record<PlantedName, Blow>> = {
  'an answer is not written down': { harm: { kind: 'killed at a step', step: 'journaled', nth: 1, downS: 0 } },
  'an answer is waited for during a third of the time': {
    harm: { kind: 'frozen', afterMs: 0, forS: 0 },
    fault: { fault: 'delay', ms: SLOW_MS },
  },
  'nothing is taken from an answer that was cut off': {
    harm: { kind: 'frozen', afterMs: 0, forS: 0 },
    fault: { fault: 'truncate-body', at: 'after-refresh-token' },
  },
  'a stop waits for no answer': {
    harm: { kind: 'told to stop', afterMs: 1_000 },
    fault: { fault: 'delay', ms: SLOW_MS },
  },
};

/** Longer than a process takes to answer, and no harm where it takes longer. */
const SILENT_MS = 300;

/** One grant whose tokens are good once, one blow, and what the judges say. */
async function struckBy({ harm, fault }: Blow, planted: PlantedName | null): Promise<readonly string[]> {
  await using ground = await alone();
  const seed = `planted ${planted}`;
  const place = { policies: ['one-time'], grants: 1, hasClients: true, planted, ...ground.place } as const;
  const world = await World.create({ seed, ...place });
  try {
    const director = new Director(world, seed, { ...ground, tell: () => undefined });
    const [ring] = world.rings;
    if (fault) ring?.provider.emulator.control.addFaults([{ ...fault, match: { endpoint: 'token', user: ring.user } }]);
    await director.round(harm, { faults: [] });
    return await director.finish();
  } finally {
    await world.close();
  }
}

describe.concurrent('one lost chain that could have been kept', () => {
  test.each(Object.entries(BLOWS) as [PlantedName, Blow][])(
    'is found where a server has this fault: %s',
    { timeout: TIMEOUT_MS },
    async (planted, blow) => {
      expect(await struckBy(blow, planted)).toContainEqual(expect.stringContaining('was lost, and need not have been'));
    },
  );

  test.each(Object.entries(BLOWS) as [PlantedName, Blow][])(
    'is not found where it has not this fault: %s',
    { timeout: TIMEOUT_MS },
    async (_, blow) => {
      expect(await struckBy(blow, null)).toEqual([]);
    },
  );
});

test('a server that stood still has heard what time it is once it says so of this order, not of one before', {
  timeout: TIMEOUT_MS,
}, async () => {
  await using ground = await alone();
  const world = await World.create({
    seed: 'orders',
    policies: ['durable'],
    grants: 1,
    hasClients: false,
    ...ground.place,
  });
  try {
    const [node] = world.nodes;
    for (let round = 0; round < 5; round++) {
      node?.freeze();
      await world.jump(60_000);
      await node?.thaw();
      node?.hold();
      const heard = node?.tell({ kind: 'advance', ms: 0 });
      expect(await Promise.race([heard, sleep(SILENT_MS, 'silent')])).toBe('silent');
      node?.release();
      expect(await heard).toBe(true);
    }
  } finally {
    await world.close();
  }
});
