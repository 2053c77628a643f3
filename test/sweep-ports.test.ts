/**
 * The n-th call of journal or network fails, and the n-th call at all is a node's last, for n = 1, 2, … until a run meets
 * no failure any more. Whatever fails, the chain is whole afterwards, without a person.
 */
import { describe, expect, test } from 'vitest';
import { POLICIES } from '../src/core/policies.fixture.ts';
import type { Network } from '../src/ports/network.ts';
import { clusterBench } from './support/cluster-bench.ts';
import { type Bench, bench } from './support/keeper-bench.ts';
import { LOST, ScriptedUpstream } from './support/scripted-upstream.ts';

const WISH = { minTtlMs: 5_000, waitMs: 30_000 };
const MOST_CALLS = 100;

async function tokenOf({ keeper, clock }: Pick<Bench, 'keeper' | 'clock'>): Promise<string> {
  for (let tries = 1; ; tries++) {
    try {
      return (await clock.until(keeper.tokens.get('eol', WISH))).accessToken.reveal();
    } catch (cause) {
      if (tries === 10) throw cause;
      await clock.advance(60_000);
    }
  }
}

/** Two rotations and a restart; gives whether the call that was to fail came. */
async function liveThrough(world: Bench): Promise<void> {
  for (let i = 0; i < 2; i++) {
    await world.clock.advance(600_000);
    await tokenOf(world);
  }
  await world.clock.until(world.restart());
  await world.clock.advance(600_000);
  await tokenOf(world);
  expect(await world.keeper.grants.get('eol')).toMatchObject({ state: 'active', generation: 1 });
}

describe.each(['before', 'after'] as const)('a journal that fails once, %s it took effect', (effect) => {
  test('breaks no chain, whichever call it is, where reuse revokes [S105] [S112] [S121]', async () => {
    for (let nth = 0; ; nth++) {
      const world = await bench({ policy: POLICIES.oneTimeRevoking });
      let calls = 0;
      const append = world.journal.append.bind(world.journal);
      world.journal.append = async (record) => {
        const isStruck = calls++ === nth;
        if (isStruck && effect === 'before') throw new Error('no space left on device');
        const number = await append(record);
        if (isStruck) throw new Error('input/output error');
        return number;
      };
      await world.imported();
      await liveThrough(world);
      const { presented } = world.upstream;
      expect(new Set(presented).size).toBe(presented.length);
      if (calls <= nth) return expect(nth).toBeGreaterThanOrEqual(4);
      expect(nth).toBeLessThan(MOST_CALLS);
    }
  }, 60_000);
});

describe.each(['open', 'send before', 'send after'] as const)('a network that fails once: %s', (fault) => {
  const policy = fault === 'send after' ? POLICIES.untilSuccessorUsed : POLICIES.oneTimeRevoking;
  test('breaks no chain, whichever call it is [S104] [S48] [S121]', async () => {
    for (let nth = 0; ; nth++) {
      const inner = new ScriptedUpstream();
      let calls = 0;
      const network: Network = {
        async open(url) {
          if (fault === 'open' && calls++ === nth) return { kind: 'not_sent', reason: 'connection refused' };
          const connection = await inner.open(url);
          if (connection.kind === 'not_sent') return connection;
          return {
            ...connection,
            async send(request, timeoutMs) {
              const isStruck = fault !== 'open' && calls++ === nth;
              if (isStruck && fault === 'send before') return LOST;
              const answer = await connection.send(request, timeoutMs);
              return isStruck ? LOST : answer;
            },
          };
        },
      };
      const world = await bench({ policy, network });
      await world.imported();
      await liveThrough(world);
      if (calls <= nth) return expect(nth).toBeGreaterThanOrEqual(3);
      expect(nth).toBeLessThan(MOST_CALLS);
    }
  }, 60_000);
});

describe.each(['before', 'after'] as const)('a node of three that dies at a call, %s it took effect', (effect) => {
  test.each(['untilSuccessorUsed', 'window60s', 'lastThree', 'durable'] as const)(
    'breaks no chain, whichever call it is: the others go on (%s) [S84] [S106]',
    async (name) => {
      for (let nth = 0; ; nth++) {
        const { clock, nodes, imported } = await clusterBench(POLICIES[name]);
        await imported();
        await clock.advance(600_000);
        nodes[0].effect = effect;
        nodes[0].callsLeft = nth;
        nodes[0].keeper.tokens.get('eol', WISH).catch(() => undefined);
        await clock.advance(2_000);
        const isOver = nodes[0].callsLeft !== null && nodes[0].callsLeft >= 0;
        nodes[0].die();
        await clock.advance(20_000);
        await tokenOf({ keeper: nodes[1].keeper, clock });
        await clock.advance(600_000);
        await tokenOf({ keeper: nodes[2].keeper, clock });
        expect(await nodes[1].keeper.grants.get('eol')).toMatchObject({ state: 'active', generation: 1 });
        if (isOver) return expect(nth).toBeGreaterThan(8);
        expect(nth).toBeLessThan(MOST_CALLS);
      }
    },
    120_000,
  );
});
