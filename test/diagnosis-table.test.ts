/** Each thing that can happen to a chain gets the diagnosis that it has in the table; on a clock that stands still. */
import { describe, expect, test } from 'vitest';
import { FAULTS } from '../src/emulator.ts';
import {
  ALIKE,
  type ChainFault,
  CAUSES,
  EXPECTED,
  type Happening,
  type Profile,
  type What,
} from './diagnosis-table.ts';
import { type Joined, joined } from './support/joined.ts';

const DAY_MS = 86_400_000;

async function happen(it: Joined, what: What): Promise<void> {
  const { control } = it.provider;
  switch (what) {
    case 'stopped for 40 days':
      it.world.keeper.stop();
      await it.clock.advance(40 * DAY_MS);
      return it.world.restart();
    case 'authorized elsewhere':
      return it.authorizeElsewhere();
    case 'exchanged elsewhere':
      return it.exchangeElsewhere();
    default:
      control.addFaults([
        { fault: what satisfies Exclude<ChainFault, Happening>, match: { endpoint: 'token' }, ms: 1_000 },
      ]);
  }
}

/** What a client that asks now and then sees, each change once. */
async function watch(it: Joined): Promise<string> {
  const seen: string[] = [];
  for (let i = 0; i < 40; i++) {
    const now = await it.ask();
    if (seen.at(-1) !== now) seen.push(now);
    await it.clock.advance(i < 20 ? 60_000 : 7_200_000);
  }
  return seen.join(' → ');
}

const rows = (Object.keys(EXPECTED) as What[]).flatMap((what) =>
  Object.entries(EXPECTED[what]).map(([profile, outcome]) => [what, profile as Profile, outcome] as const),
);

describe('a keeper names what happened to its chain [S16] [S17] [S18] [S20] [S21] [S51] [S102]', () => {
  test.each(rows)('%s at %s: %s', async (what, profile, outcome) => {
    const it = await joined(profile);
    const { accessTokenExpiresAt } = await it.world.keeper.grants.get('it');
    await it.clock.advance((accessTokenExpiresAt ?? 0) - it.clock.now() + 1_000);
    await happen(it, what);
    expect(await watch(it)).toBe(outcome);
  });
});

/** Codes other than those that name the cause. A pause before a refusal is believed is none. */
function astray(what: What, outcome: string): readonly string[] {
  const codes = outcome
    .split(' → ')
    .filter((code, i, all) => code !== 'token' && !(code === 'too_early' && i < all.length - 1));
  return codes.filter((code) => !CAUSES[what].includes(code));
}

test('the cause that is found is the cause that was injected, or one that looks alike, and it is said why', () => {
  const wrong = rows.flatMap(([what, profile, outcome]) =>
    astray(what, outcome)
      .filter((code) => !ALIKE[what]?.codes.includes(code))
      .map((code) => `${what} at ${profile}: ${code}`),
  );
  expect(wrong).toEqual([]);
});

test('no cause is said to look like another where it does not', () => {
  const said = Object.entries(ALIKE).flatMap(([what, { codes }]) => codes.map((code) => `${what}: ${code}`));
  const seen = new Set(rows.flatMap(([what, , outcome]) => astray(what, outcome).map((code) => `${what}: ${code}`)));
  expect(said.filter((one) => !seen.has(one))).toEqual([]);
});

test('every fault that the emulator has stands in the table, but for those of the sign-in pages', () => {
  const known = Object.keys(EXPECTED);
  const ofChains = Object.entries(FAULTS).flatMap(([name, where]) => (where === 'login' ? [] : [name]));
  expect(ofChains.filter((name) => !known.includes(name))).toEqual([]);
});
