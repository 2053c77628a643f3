/**
 * The judges of `npm run chaos` are judged: ledgers and histories are doctored, and what is planted must be found; what
 * only looks like it must not.
 */
import { describe, expect, test } from 'vitest';
import type { RotationPolicy } from '../src/core/rotation-policy.ts';
import type { LedgerEntry } from '../src/emulator.ts';
import { POLICIES } from '../src/core/policies.fixture.ts';
import { layOut } from './chaos/account.ts';
import type { HistoryItem } from './chaos/api.ts';
import type { Served } from './chaos/client.ts';
import { type Evidence, judge } from './chaos/judges.ts';
import { judgeLoss, type Scene } from './chaos/loss.ts';

const START = Date.parse('2026-01-01T00:00:00Z');
const at = (seconds: number): string => new Date(START + seconds * 1000).toISOString();
const SECOND = 1_000;

/** One grant's story, written down as the provider saw it and as the keeper told it. */
class Story {
  readonly ledger: LedgerEntry[] = [];
  readonly history: HistoryItem[] = [];
  readonly policy: RotationPolicy;
  scene: Scene = {
    time: { realMs: (from, to) => to - from },
    away: [],
    nobodyThere: [],
    blows: [],
    received: [],
    written: [],
    heard: [],
  };
  evidence: Evidence = {
    ledgers: [],
    served: () => [],
    nodes: 1,
    wasAway: () => false,
    secrets: ['a client secret'],
    leftBehind: [],
  };

  constructor(policy: RotationPolicy) {
    this.policy = policy;
    this.request(0, { decision: 'authorized', issued: ['r0', 'a0'] });
  }

  /** A request that reached the provider. */
  request(seconds: number, entry: Partial<LedgerEntry>): this {
    const usual = {
      endpoint: 'token',
      method: 'POST',
      path: '/token',
      app: 'app',
      user: 'ada',
      presented: [],
    } as const;
    const told = { issued: [], decision: 'new', reason: null, fault: null, status: 200, ...entry };
    this.ledger.push({ ...usual, n: this.ledger.length + 1, time: at(seconds), ...told });
    return this;
  }

  event(seconds: number, type: string, more: Partial<HistoryItem> = {}): this {
    const usual = { generation: 1, link: null, parent: null, node: 'node-1', outcome: type };
    this.history.push({ version: this.history.length + 1, type, at: at(seconds), ...usual, ...more });
    return this;
  }

  /** An exchange from its record on; `outcome` null: nothing more was heard of it. */
  exchange(seconds: number, link: string, outcome: string | null, entry: Partial<LedgerEntry> | null): this {
    this.event(seconds, 'started', { link, parent: 'before', outcome: 'sent' });
    if (entry) this.request(seconds, { issued: [`r-${link}`, `a-${link}`], ...entry });
    if (outcome === 'tokens') this.event(seconds + 1, 'received', { link, outcome });
    else if (outcome === 'invalid_grant') this.event(seconds + 1, 'refused', { link, outcome });
    else if (outcome !== null) this.event(seconds + 1, outcome === 'not_sent' ? outcome : 'lost', { link, outcome });
    return this;
  }

  refusal(seconds: number, link: string): this {
    return this.exchange(seconds, link, 'invalid_grant', { issued: [], decision: 'refused', reason: 'reused' });
  }

  away(from: number, to: number, how: Scene['away'][number]['how'], node = 'node-1'): this {
    const span = { from: START + from * SECOND, to: START + to * SECOND };
    const nobodyThere = node === 'node-1' ? [...this.scene.nobodyThere, span] : this.scene.nobodyThere;
    this.scene = { ...this.scene, away: [...this.scene.away, { ...span, node, how }], nobodyThere };
    return this;
  }

  marks(step: 'received' | 'written', ...seconds: readonly number[]): this {
    this.scene = { ...this.scene, [step]: seconds.map((one) => START + one * SECOND) };
    return this;
  }

  account() {
    return layOut({ alias: 'eol', provider: { policy: this.policy } }, this.ledger, this.history);
  }

  loss(diagnosis = 'successor_lost') {
    return judgeLoss(this.scene, this.account(), diagnosis);
  }

  wrongs(): readonly string[] {
    return judge({ ...this.evidence, ledgers: [this.ledger] }, [this.account()]);
  }
}

const story = (name: keyof typeof POLICIES) => new Story(POLICIES[name]);

describe('of a chain that was lost it is told that it could have been kept', () => {
  test('when nothing is in doubt: every answer came', () => {
    const { isAvoidable, why } = story('oneTime').exchange(10, 'b', 'tokens', {}).refusal(700, 'c').loss('revoked');
    expect([isAvoidable, why]).toEqual([true, expect.stringContaining('every answer was kept')]);
  });

  test('when the request that was lost never had an effect', () => {
    const lost = { fault: 'drop-before-commit', issued: [], decision: 'not processed', status: null };
    expect(story('oneTime').exchange(10, 'b', 'no_answer', lost).refusal(80, 'c').loss().isAvoidable).toBe(true);
  });

  test('when an answer reached a process that lived on', () => {
    const { isAvoidable, why } = story('oneTime').exchange(10, 'b', 'no_answer', {}).refusal(80, 'c').loss();
    expect([isAvoidable, why]).toEqual([true, expect.stringContaining('lived on')]);
  });

  test('when another process than the one that waited for the answer was killed', () => {
    const crashed = story('oneTime').exchange(10, 'b', 'crash', {}).refusal(80, 'c');
    expect(crashed.away(10, 12, 'killed', 'node-2').loss().isAvoidable).toBe(true);
    expect(crashed.away(10, 12, 'killed', 'node-1').loss().isAvoidable).toBe(false);
  });

  test('when the process was killed long after it had the answer', () => {
    const crashed = story('oneTime').exchange(10, 'b', 'crash', {}).refusal(80, 'c').marks('received', 10.5);
    expect(crashed.away(25, 26, 'killed').loss().why).toContain('lived on');
    expect(crashed.away(11, 12, 'killed').loss().isAvoidable).toBe(false);
  });

  test('when the process was only told to stop, stood still for a while, or had no database', () => {
    for (const how of ['stopping', 'frozen', 'cut off'] as const) {
      const gaveUp = story('oneTime').exchange(10, 'b', 'no_answer', {}).refusal(200, 'c');
      expect(gaveUp.away(10, 30, how).loss().isAvoidable, how).toBe(true);
    }
  });

  test('when the answer was late, or was cut off behind the refresh token', () => {
    for (const fault of ['delay', 'truncate-body', 'slow-drip']) {
      const lost = story('oneTime').exchange(10, 'b', 'no_answer', { fault }).refusal(200, 'c').loss();
      expect(lost.isAvoidable, fault).toBe(true);
    }
  });

  test('when the answer had been written down', () => {
    const crashed = story('oneTime').exchange(10, 'b', 'crash', {}).refusal(80, 'c').away(11, 12, 'killed');
    expect(crashed.marks('written', 10.2).loss().why).toContain('written down');
    // That of the refusal is another answer.
    expect(crashed.marks('written', 80.5).loss().isAvoidable).toBe(false);
  });

  test('when its rules leave the same token alive', () => {
    const lost = { fault: 'drop-after-commit', status: null };
    for (const name of ['durable', 'untilSuccessorUsed'] as const) {
      expect(story(name).exchange(10, 'b', 'no_answer', lost).refusal(80, 'c').loss().isAvoidable, name).toBe(true);
    }
    const twice = story('lastThree').exchange(10, 'b', 'no_answer', lost).exchange(20, 'c', 'no_answer', lost);
    expect(twice.refusal(30, 'd').loss().why).toContain('only 2 answers');
    const thrice = story('lastThree').exchange(10, 'b', 'no_answer', lost).exchange(20, 'c', 'no_answer', lost);
    expect(thrice.exchange(30, 'd', 'no_answer', lost).refusal(40, 'e').loss().isAvoidable).toBe(false);
  });

  test('when its window passed and nothing was tried', () => {
    const lost = { fault: 'drop-after-commit', status: null };
    const idle = story('window60s').exchange(10, 'b', 'no_answer', lost).refusal(100, 'c');
    expect(idle.loss().why).toContain('for 60 s of it nothing was tried');
    expect(idle.away(15, 68, 'killed').loss().isAvoidable).toBe(false);
    const late = story('exact').exchange(10, 'b', 'no_answer', lost).refusal(640, 'c');
    expect(late.loss().why).toContain('for 30 s of it nothing was tried');
    const tried = story('exact').exchange(10, 'b', 'no_answer', lost).exchange(590, 'c', 'no_answer', lost);
    expect(tried.refusal(640, 'd').loss().isAvoidable).toBe(false);
  });

  test('when it is called lost by another name', () => {
    const lost = { fault: 'drop-after-commit', status: null };
    const { why } = story('oneTime').exchange(10, 'b', 'no_answer', lost).refusal(80, 'c').loss('revoked');
    expect(why).toContain('the diagnosis is revoked');
  });
});

describe('nobody is blamed', () => {
  const lost = { fault: 'drop-after-commit', status: null };

  test('for an answer that never came, where each token is good once', () => {
    expect(story('oneTimeRevoking').exchange(10, 'b', 'no_answer', lost).refusal(80, 'c').loss().isAvoidable).toBe(
      false,
    );
  });

  test('for an answer that came after a process had stood still for longer than a request may take', () => {
    const gaveUp = story('oneTime').exchange(10, 'b', 'no_answer', {}).refusal(200, 'c');
    expect(gaveUp.away(11, 140, 'frozen').loss().isAvoidable).toBe(false);
  });

  test('for a late answer whose process was killed before it came', () => {
    const crashed = story('oneTime').exchange(10, 'b', 'crash', { fault: 'delay' }).refusal(200, 'c');
    expect(crashed.away(60, 61, 'killed').loss().isAvoidable).toBe(false);
    expect(crashed.marks('received', 70.5).away(90, 91, 'killed').loss().isAvoidable).toBe(false);
  });

  test('for a window in which the machine answered nobody', () => {
    const idle = story('window60s').exchange(10, 'b', 'no_answer', lost).refusal(100, 'c');
    const heard = [11, 12, 68, 69].map((one) => ({ at: START + one * SECOND, ms: one * SECOND }));
    idle.scene = { ...idle.scene, heard };
    expect(idle.loss().isAvoidable).toBe(false);
    // Answered all the time, it could have done something.
    const prompt = Array.from({ length: 60 }, (_, i) => ({ at: START + (10 + i) * SECOND, ms: i * SECOND }));
    idle.scene = { ...idle.scene, heard: prompt };
    expect(idle.loss().isAvoidable).toBe(true);
  });

  test('for a window that was jumped over while its exchange had just begun', () => {
    const struck = story('window60s').exchange(10, 'b', 'crash', {}).refusal(700, 'c').away(11, 12, 'killed');
    expect(struck.loss().isAvoidable).toBe(true);
    struck.scene = { ...struck.scene, blows: [{ from: START + 9 * SECOND, to: START + 650 * SECOND }] };
    expect(struck.loss().isAvoidable).toBe(false);
    struck.scene = { ...struck.scene, blows: [{ from: START + 20 * SECOND, to: START + 650 * SECOND }] };
    expect(struck.loss().isAvoidable).toBe(true);
  });

  test('for what was done as it should be', () => {
    const good = story('exact')
      .event(0, 'authorized', { link: 'a' })
      .exchange(600, 'b', 'tokens', {})
      .event(602, 'published', { link: 'b' })
      .exchange(1200, 'c', 'not_sent', null)
      .exchange(1210, 'd', 'no_answer', lost)
      .exchange(1785, 'e', 'tokens', {})
      .event(1786, 'published', { link: 'e' });
    good.evidence = { ...good.evidence, served: () => [served('a-b', 603), served('a-e', 1790)] };
    expect(good.wrongs()).toEqual([]);
  });

  test('for requests that a busy provider wrote down late', () => {
    const crashed = story('untilSuccessorUsed')
      .event(10, 'started', { link: 'b', parent: 'a' })
      .event(12, 'lost', { link: 'b', outcome: 'crash' })
      .event(12.5, 'started', { link: 'c', parent: 'a' })
      .request(12.6, { issued: ['r1'] })
      .request(12.7, { issued: ['r2'] })
      .event(13, 'received', { link: 'c', outcome: 'tokens' });
    expect(crashed.wrongs()).toEqual([]);
  });
});

const NODE = { name: 'node-1' };

function served(fingerprint: string, seconds: number, more: Partial<Served> = {}): Served {
  const [askedAt, ms] = [START + seconds * SECOND, seconds * SECOND];
  const usual = { node: NODE, askedMs: ms, answeredMs: ms + 10, askedAt, at: askedAt + 10, isTaken: true };
  return { fingerprint, ...usual, ...more };
}

describe('it is told of each grant', () => {
  test('that a request is not in its history', () => {
    const hidden = story('oneTime')
      .exchange(10, 'b', 'tokens', {})
      .request(20, { issued: ['r2'] });
    expect(hidden.wrongs()).toEqual([expect.stringContaining('(entry 2) is not in the history')]);
    // Said to be not sent, and sent.
    const denied = story('oneTime').exchange(10, 'b', 'not_sent', {});
    expect(denied.wrongs()).toEqual([expect.stringContaining('not in the history')]);
  });

  test('that its history tells of an answer that was not given', () => {
    expect(story('oneTime').exchange(10, 'b', 'tokens', null).wrongs()).toEqual([
      expect.stringContaining('the provider gave none'),
    ]);
  });

  test('that a link was published twice, or after a newer one', () => {
    const both = story('oneTime').exchange(10, 'b', 'tokens', {}).exchange(20, 'c', 'tokens', {});
    const again = [both.event(30, 'published', { link: 'c' }), both.event(31, 'published', { link: 'c' })];
    expect(again[1]?.wrongs()).toEqual([expect.stringContaining('c was published twice')]);
    const back = story('oneTime').exchange(10, 'b', 'tokens', {}).exchange(20, 'c', 'tokens', {});
    back.event(30, 'published', { link: 'c' }).event(31, 'published', { link: 'b' });
    expect(back.wrongs()).toEqual([expect.stringContaining('b was published after a newer one')]);
    const renewed = story('oneTime').event(30, 'published', { link: 'x', generation: 2 });
    renewed.event(31, 'published', { link: 'a', generation: 1 });
    expect(renewed.wrongs()).toEqual([expect.stringContaining('a was published after a newer one')]);
  });

  test('that a request came too early although nothing was in doubt', () => {
    const early = { issued: [], decision: 'refused', reason: 'too-early' };
    const hasty = story('exact').exchange(600, 'b', 'tokens', {}).exchange(700, 'c', 'too_early', early);
    expect(hasty.wrongs()).toEqual([expect.stringContaining('nothing was in doubt')]);
    const doubtful = story('exact').exchange(600, 'b', 'no_answer', { fault: 'drop-after-commit' });
    expect(doubtful.exchange(1100, 'c', 'too_early', early).wrongs()).toEqual([]);
  });

  test('that two exchanges were under way at once', () => {
    const both = story('oneTime').exchange(10, 'b', null, {}).exchange(12, 'c', 'tokens', {});
    both.event(14, 'lost', { link: 'b', outcome: 'crash' });
    expect(both.wrongs()).toEqual([expect.stringContaining('c was begun while b was under way')]);
  });

  test('that it was called broken while an answer could come', () => {
    const hasty = story('oneTime').exchange(10, 'b', null, {}).event(11, 'broken', { outcome: 'successor_lost' });
    hasty.event(12, 'received', { link: 'b', outcome: 'tokens' });
    expect(hasty.wrongs()).toEqual([expect.stringContaining('was called broken (event 2) while b was under way')]);
  });

  test('that an exchange never ended', () => {
    expect(story('oneTime').exchange(10, 'b', null, {}).wrongs()).toEqual([expect.stringContaining('still open')]);
  });

  test('that what nobody was given was presented', () => {
    const forged = story('oneTime').request(10, { user: null, decision: 'refused', reason: 'unknown' });
    expect(forged.wrongs()).toContainEqual(expect.stringContaining('presents what the provider never gave'));
  });

  const withTwo = (...tokens: readonly Served[]) => {
    const good = story('oneTime').exchange(10, 'b', 'tokens', {}).event(12, 'published', { link: 'b' });
    good.exchange(400, 'c', 'tokens', {}).event(402, 'published', { link: 'c' });
    const policy = { ...good.policy, life: { ...good.policy.life, accessTokenMs: 600_000 } };
    const told = Object.assign(new Story(policy), { evidence: { ...good.evidence, served: () => tokens } });
    told.ledger.splice(0, Number.POSITIVE_INFINITY, ...good.ledger);
    told.history.push(...good.history);
    return told;
  };

  test.each<[string, readonly Served[], string]>([
    ['was issued to somebody else', [served('a-x', 20)], 'never issued to this account'],
    ['was over when it was asked for', [served('a-b', 620)], 'when it was over'],
    ['the API refused', [served('a-b', 20, { isTaken: false })], 'the API refused it'],
    ['is older than one served before', [served('a-c', 410), served('a-b', 415)], 'after a newer one'],
    [
      'another server took back too late',
      [served('a-c', 410), served('a-b', 430, { node: { name: 'node-2' } })],
      'after a newer one',
    ],
  ])('that a token was served that %s', (_name, tokens, said) => {
    expect(withTwo(...tokens).wrongs()).toEqual([expect.stringContaining(said)]);
  });

  test.each<[string, readonly Served[]]>([
    ['lived', [served('a-b', 20), served('a-b', 300), served('a-c', 410)]],
    ['the API refused since a newer one was there', [served('a-b', 399.5, { isTaken: false })]],
    ['another server had not heard of', [served('a-c', 410), served('a-b', 415, { node: { name: 'node-2' } })]],
  ])('nothing of a token that %s', (_name, tokens) => {
    expect(withTwo(...tokens).wrongs()).toEqual([]);
  });

  test('nothing of a token that was over, where its server stood still until it was asked', () => {
    const told = withTwo(served('a-b', 620));
    told.evidence = { ...told.evidence, wasAway: () => true };
    expect(told.wrongs()).toEqual([]);
  });

  test('that a token was served and never published', () => {
    const early = story('oneTime').exchange(10, 'b', 'tokens', {});
    early.evidence = { ...early.evidence, served: () => [served('a-b', 12)] };
    expect(early.wrongs()).toEqual([expect.stringContaining('never published')]);
  });

  test.each([
    ['a client secret', 'a secret is in evergrant.db'],
    [`at.${'x'.repeat(64)}`, 'a token is in evergrant.db'],
  ])('that "%s" lies on disk', (text, said) => {
    const leaky = story('oneTime');
    const bytes = Buffer.from(`before ${text} after`);
    leaky.evidence = { ...leaky.evidence, leftBehind: [{ where: 'evergrant.db', bytes }] };
    expect(leaky.wrongs()).toEqual([said]);
  });

  test('that a server believed its store to be restored, which no store here ever is', () => {
    const fooled = story('oneTime');
    const bytes = Buffer.from(
      '{"msg":"The store is older than what is remembered of it: it was restored from a backup."}',
    );
    fooled.evidence = { ...fooled.evidence, leftBehind: [{ where: 'the log of node-1', bytes }] };
    expect(fooled.wrongs()).toEqual([expect.stringContaining('the log of node-1 tells of a restore')]);
  });
});
