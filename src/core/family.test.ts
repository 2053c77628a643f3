import { describe, expect, test } from 'vitest';
import { accessUsed, type Family, present, startFamily } from './family.ts';
import type { Instant } from './instant.ts';
import { COLUMNS, MATRIX, PACED, PRESETS, type Preset } from './family-presets.fixture.ts';
import type { RotationPolicy } from './rotation-policy.ts';

const START = Date.UTC(2026, 10, 22) as Instant;
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** One server and what was presented to it. Times are milliseconds since the authorization. */
class Server {
  readonly policy: RotationPolicy;
  family: Family;
  count = 0;

  constructor(policy: RotationPolicy) {
    this.policy = policy;
    const ids = { refreshToken: 'rt-0', accessToken: 'at-0' };
    this.family = startFamily({ id: 'f', user: 'u', client: 'c', now: START, ids });
  }

  /** Presents a token; gives what the matrix prints, and the token that came back. */
  present(token: string, at: number): { said: string; token: string } {
    this.count++;
    const ids = { refreshToken: `rt-${this.count}`, accessToken: `at-${this.count}` };
    const result = present(this.family, token, { policy: this.policy, now: (START + at) as Instant, ids });
    this.family = result.family;
    if (result.outcome === 'accepted') return { said: result.answer, token: result.refreshToken };
    return { said: said(result.reason) + (result.revokes === 'nothing' ? '' : '!'), token: '' };
  }
}

/** The matrix has one word for every way of being spent or displaced, and one for every kind of age. */
function said(reason: string): string {
  if (['superseded', 'expired-in-use', 'displaced'].includes(reason)) return 'reuse';
  return reason.startsWith('expired') ? 'expired' : reason;
}

type Pacing = 'pacing off' | 'pacing on';

/** A server with the pacing of the policy, or without any. */
const serverOf = (policy: RotationPolicy, pacing: Pacing) =>
  new Server(pacing === 'pacing on' ? policy : { ...policy, pacing: { ...policy.pacing, minSpacingMs: 0 } });

/** When the first token is presented. */
const FIRST = 10 * MINUTE;

function lostThenRetried(policy: RotationPolicy, pacing: Pacing, afterMs: number): string {
  const server = serverOf(policy, pacing);
  server.present('rt-0', FIRST);
  return server.present('rt-0', FIRST + afterMs).said;
}

function firstSuccessor(policy: RotationPolicy, pacing: Pacing): string {
  const server = serverOf(policy, pacing);
  const first = server.present('rt-0', FIRST);
  const second = server.present('rt-0', FIRST + 5 * SECOND);
  const isAnotherToken = second.token !== '' && second.token !== first.token;
  return isAnotherToken ? server.present(first.token, FIRST + 6 * SECOND).said : '-';
}

/** The token that was exchanged `generations` ago, one second after its newest descendant was made. */
function older(policy: RotationPolicy, pacing: Pacing, generations: number): string {
  if (policy.rotate.mode !== 'always') return '-';
  const server = serverOf(policy, pacing);
  let at = FIRST;
  let token = server.present('rt-0', at).token;
  for (let i = 1; i < generations; i++) {
    at += Math.max(policy.rotate.notWithinMs, pacing === 'pacing on' ? policy.pacing.minSpacingMs : 0);
    token = server.present(token, at).token;
  }
  return server.present('rt-0', at + SECOND).said;
}

function idle(policy: RotationPolicy, pacing: Pacing): string {
  if (policy.life.idleMs === Number.POSITIVE_INFINITY) return '-';
  return serverOf(policy, pacing).present('rt-0', policy.life.idleMs + SECOND).said;
}

/** Refreshes in even steps, and says at which multiple of its absolute life the family ends. */
function absolute(policy: RotationPolicy, pacing: Pacing): string {
  const { absoluteMs, idleMs } = policy.life;
  if (absoluteMs === Number.POSITIVE_INFINITY) return '-';
  const server = serverOf(policy, pacing);
  const step = Math.min(absoluteMs / 7, (idleMs * 2) / 3);
  let token = 'rt-0';
  for (let at = step; at < 2 * absoluteMs; at += step) {
    const answer = server.present(token, at);
    if (answer.token === '') return `${answer.said}@${(at / absoluteMs).toFixed(2)}`;
    token = answer.token;
  }
  return 'lives on';
}

function secondWithinNineMinutes(policy: RotationPolicy): string {
  const server = new Server(policy);
  const first = server.present('rt-0', FIRST);
  return server.present(first.token, FIRST + 9 * MINUTE - SECOND).said;
}

const PLAY: Record<(typeof COLUMNS)[number], (policy: RotationPolicy, pacing: Pacing) => string> = {
  current: (policy, pacing) => serverOf(policy, pacing).present('rt-0', FIRST).said,
  'twice at once': (policy, pacing) => lostThenRetried(policy, pacing, 0),
  'lost, retry 5 s': (policy, pacing) => lostThenRetried(policy, pacing, 5 * SECOND),
  'first successor then': firstSuccessor,
  'lost, retry 5 min': (policy, pacing) => lostThenRetried(policy, pacing, 5 * MINUTE),
  'lost, retry 1 h': (policy, pacing) => lostThenRetried(policy, pacing, HOUR),
  'prev, successor used 1 s ago': (policy, pacing) => older(policy, pacing, 2),
  grandparent: (policy, pacing) => older(policy, pacing, 3),
  unknown: (policy, pacing) => serverOf(policy, pacing).present('rt-never', FIRST).said,
  idle,
  absolute,
  '2nd within 9 min': secondWithinNineMinutes,
};

describe.each(Object.entries(MATRIX))('%s', (name, row) => {
  test.each(COLUMNS.map((column, i) => [column, row[i] ?? '']))('%s: %s', (column, expected) => {
    expect(PLAY[column](PRESETS[name as Preset], 'pacing off')).toBe(expected);
  });
});

describe.each(Object.entries(MATRIX))('%s, with pacing on', (name, unpaced) => {
  const row = PACED[name as Preset] ?? unpaced;
  test.each(COLUMNS.map((column, i) => [column, row[i] ?? '']))('%s: %s', (column, expected) => {
    expect(PLAY[column](PRESETS[name as Preset], 'pacing on')).toBe(expected);
  });
});

test('the matrix has 26 systems', () => {
  expect(Object.keys(MATRIX)).toHaveLength(26);
  expect(Object.keys(PRESETS)).toEqual(Object.keys(MATRIX));
});

test('a spent token whose successor the server lost gives nothing back', () => {
  const server = new Server(PRESETS['supabase/auth v2 counter']);
  const { token } = server.present('rt-0', FIRST);
  const tokens = server.family.tokens.map((one) => (one.id === token ? { ...one, displacedAt: START } : one));
  server.family = { ...server.family, tokens };
  expect(server.present('rt-0', FIRST + SECOND)).toEqual({ said: 'reuse', token: '' });
});

describe('Exact Online, by its parameters', () => {
  const policy = PRESETS['Exact Online strict'];

  test('[S2] a refresh token lives 600 seconds from its own first use', () => {
    const server = new Server(policy);
    server.present('rt-0', FIRST);
    expect(server.present('rt-0', FIRST + 599 * SECOND).said).toBe('fork');
    expect(server.present('rt-0', FIRST + 601 * SECOND).said).not.toBe('fork');
    const later = new Server(policy);
    later.present('rt-0', FIRST);
    expect(later.present('rt-0', FIRST + 601 * SECOND).said).toBe('reuse');
  });

  test('[S3] an API call with the successor ends the predecessor', () => {
    const server = new Server(policy);
    server.present('rt-0', FIRST);
    const use = accessUsed(server.family, 'at-1', policy, (START + FIRST + SECOND) as Instant);
    expect(use).toMatchObject({ outcome: 'accepted', activated: true });
    server.family = use.family;
    expect(server.present('rt-0', FIRST + 580 * SECOND).said).toBe('reuse');
    expect(server.present('rt-1', FIRST + 580 * SECOND).said).toBe('new');
  });

  test('[S8] an access token ends 600 seconds after issue, used or not', () => {
    const server = new Server(policy);
    const at = (seconds: number) => (START + seconds * SECOND) as Instant;
    expect(accessUsed(server.family, 'at-0', policy, at(599)).outcome).toBe('accepted');
    expect(accessUsed(server.family, 'at-0', policy, at(601))).toMatchObject({ outcome: 'refused', reason: 'expired' });
  });

  test('[S25] a refresh is too early at 569 seconds and right at 570', () => {
    const server = new Server(policy);
    expect(server.present('rt-0', 569 * SECOND).said).toBe('too-early');
    expect(server.present('rt-0', 570 * SECOND).said).toBe('new');
  });
});
