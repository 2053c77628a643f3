/** Each thing that can happen to a chain gets the diagnosis that it has in the table; on a clock that stands still. */
import { describe, expect, test } from 'vitest';
import { FAULTS, type FaultName } from '../src/emulator.ts';
import { EXPECTED, HAPPENINGS, type Happening } from './diagnosis-table.ts';
import { type Joined, joined } from './support/joined.ts';

const DAY_MS = 86_400_000;

async function happen(it: Joined, what: FaultName | Happening): Promise<void> {
  const { control } = it.provider;
  switch (what) {
    case 'left alone for 40 days':
      return it.clock.advance(40 * DAY_MS);
    case 'authorized elsewhere':
      return it.authorizeElsewhere();
    case 'exchanged elsewhere':
      return it.exchangeElsewhere();
    default:
      control.addFaults([{ fault: what, match: { endpoint: 'token' }, ms: 1_000 }]);
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

const rows = Object.entries(EXPECTED).flatMap(([what, byProfile]) =>
  Object.entries(byProfile).map(([profile, outcome]) => [what, profile, outcome] as const),
);

describe('a keeper names what happened to its chain [S16] [S17] [S18] [S20] [S21] [S51] [S102]', () => {
  test.each(rows)('%s at %s: %s', async (what, profile, outcome) => {
    const it = await joined(profile);
    const { accessTokenExpiresAt } = await it.world.keeper.grants.get('it');
    await it.clock.advance((accessTokenExpiresAt ?? 0) - it.clock.now() + 1_000);
    await happen(it, what as FaultName | Happening);
    expect(await watch(it)).toBe(outcome);
  });
});

/** Not about the chain of a keeper: what a person meets when signing in, and faults that only a socket shows. */
const ELSEWHERE = [
  'user-password-changed',
  'totp-reset',
  'captcha-on-login',
  'login-page-changed',
  'dns-failure',
  'delay',
];
test('every fault that the emulator has stands in the table, or is none of a chain', () => {
  const known = [...Object.keys(EXPECTED), ...ELSEWHERE];
  expect([...Object.keys(FAULTS), ...Object.keys(HAPPENINGS)].filter((name) => !known.includes(name))).toEqual([]);
});
