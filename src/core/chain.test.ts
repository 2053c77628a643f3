import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { apply, type Chain, type ChainEventWithoutAnswer, EMPTY_CHAIN, stateOf } from './chain.ts';
import { DIAGNOSES } from './diagnosis.ts';
import type { LinkId } from './id.ts';
import type { Instant, Moment } from './instant.ts';
import type { Fingerprint } from './secret.ts';

const at = (seconds: number): Moment => ({ at: (seconds * 1000) as Instant, boot: 'b', uptimeMs: seconds * 1000 });
const link = (id: string, seconds: number, fingerprint: string | null = `fp-${id}`) => ({
  id: id as LinkId,
  fingerprint: fingerprint as Fingerprint | null,
  node: 'n',
  requestedAt: at(seconds),
  receivedAt: at(seconds),
  accessTokenLifeMs: 600_000,
  scope: null,
});

const authorized = (id: string, seconds: number): ChainEventWithoutAnswer => ({
  type: 'authorized',
  at: at(seconds),
  by: 'code',
  link: { ...link(id, seconds), fingerprint: `fp-${id}` as Fingerprint },
});
const started = (id: string, presented: string, seconds: number): ChainEventWithoutAnswer => ({
  type: 'started',
  at: at(seconds),
  id: id as LinkId,
  presented: presented as LinkId,
  node: 'n',
  run: 'r',
});
/** The sequence is the order in which the tests start exchanges: 2 for the first after the authorization. */
const received = (
  id: string,
  parent: string,
  seconds: number,
  fp?: string | null,
  sequence = 2,
): ChainEventWithoutAnswer => ({
  type: 'received',
  sequence,
  at: at(seconds),
  link: link(id, seconds, fp === undefined ? `fp-${id}` : fp),
  parent: parent as LinkId,
});
const lost = (id: string, seconds: number): ChainEventWithoutAnswer => ({
  type: 'lost',
  at: at(seconds),
  id: id as LinkId,
  reason: 'no_answer',
  said: null,
});
/** What a journal tells of an exchange that the store has forgotten. */
const recalled = (id: string, presented: string, sequence: number): ChainEventWithoutAnswer => ({
  type: 'recalled',
  at: at(9_000),
  id: id as LinkId,
  presented: presented as LinkId,
  sequence,
  node: 'n',
  run: 'r',
  startedAt: at(sequence * 600),
});
const published = (id: string, seconds: number): ChainEventWithoutAnswer => ({
  type: 'published',
  at: at(seconds),
  link: id as LinkId,
});
const refused = (id: string, seconds: number, means: 'superseded' | 'too_early'): ChainEventWithoutAnswer => ({
  type: 'refused',
  at: at(seconds),
  id: id as LinkId,
  means,
  said: { status: 401, error: 'unauthorized_client', description: 'Old refresh token used.' },
});

const fold = (...events: ChainEventWithoutAnswer[]): Chain => events.reduce(apply, EMPTY_CHAIN);
const linkOf = (chain: Chain, id: string) => chain.links.find((one) => one.id === id);

describe('a chain', () => {
  test('is pending until somebody authorizes it, then active', () => {
    expect(stateOf(EMPTY_CHAIN)).toBe('pending');
    expect(stateOf(fold(authorized('A', 0)))).toBe('active');
  });

  test('is in doubt from the moment an exchange is recorded until its answer is', () => {
    const sent = fold(authorized('A', 0), started('B', 'A', 600));
    expect(stateOf(sent)).toBe('in_doubt');
    expect(sent.stateSince).toBe(600_000);
    expect(stateOf(apply(sent, received('B', 'A', 601)))).toBe('active');
  });

  test('stays in doubt when the answer is lost', () => {
    const chain = fold(authorized('A', 0), started('B', 'A', 600), lost('B', 720));
    expect(stateOf(chain)).toBe('in_doubt');
  });

  test('does not count a presentation that never left', () => {
    const chain = fold(authorized('A', 0), started('B', 'A', 600), {
      type: 'not_sent',
      at: at(601),
      id: 'B' as LinkId,
      reason: 'refused',
    });
    expect(linkOf(chain, 'A')).toMatchObject({ uses: 0, firstUsedAt: null });
    expect(stateOf(chain)).toBe('active');
  });

  test('keeps both answers when one token was presented twice, in the order in which they were asked for', () => {
    const chain = fold(
      authorized('A', 0),
      started('B1', 'A', 600),
      lost('B1', 720),
      started('B2', 'A', 1172),
      received('B2', 'A', 1173, undefined, 3),
      received('B1', 'A', 1200),
    );
    expect(chain.links.map((one) => one.id)).toEqual(['A', 'B1', 'B2']);
    expect(linkOf(chain, 'B1')?.counter).toBe(linkOf(chain, 'B2')?.counter);
  });

  test('publishes nothing older than what is published [S85]', () => {
    const before = fold(
      authorized('A', 0),
      started('B1', 'A', 600),
      lost('B1', 720),
      started('B2', 'A', 1172),
      received('B2', 'A', 1173, undefined, 3),
      published('B2', 1174),
      received('B1', 'A', 1200),
    );
    expect(apply(before, published('B1', 1201)).published).toBe('B2');
  });

  test('goes on with the presented token when the answer names none', () => {
    const chain = fold(authorized('A', 0), started('B', 'A', 600), received('B', 'A', 601, null));
    expect(linkOf(chain, 'B')).toMatchObject({ tokenOf: 'A', counter: 0, fingerprint: 'fp-A' });
  });

  test('goes on with the presented token when the same one comes back', () => {
    const chain = fold(authorized('A', 0), started('B', 'A', 600), received('B', 'A', 601, 'fp-A'));
    expect(linkOf(chain, 'B')).toMatchObject({ tokenOf: 'A', counter: 0 });
  });

  test('takes "too early" for no more than that: the token counts as not presented', () => {
    const chain = fold(authorized('A', 0), started('B', 'A', 100), refused('B', 100, 'too_early'));
    expect(linkOf(chain, 'A')).toMatchObject({ uses: 0, refusal: null });
  });

  test('starts anew with a new authorization, whatever was in doubt or broken', () => {
    const broken = fold(authorized('A', 0), started('B', 'A', 600), refused('B', 601, 'superseded'), {
      type: 'broken',
      at: at(602),
      diagnosis: { code: 'used_elsewhere', since: 0 as Instant, said: null, evidence: '' },
    });
    expect(stateOf(broken)).toBe('broken');
    const renewed = apply(broken, authorized('N', 700));
    expect(stateOf(renewed)).toBe('active');
    expect(renewed).toMatchObject({ generation: 2, attempts: [] });
    expect(renewed.links).toHaveLength(1);
  });

  test('keeps a new authorization when an answer to the old chain comes late', () => {
    const renewed = fold(authorized('A', 0), started('B', 'A', 600), authorized('N', 601));
    expect(apply(renewed, received('B', 'A', 602))).toBe(renewed);
  });

  test('lives again when the answer that was given up arrives after all', () => {
    const broken = fold(authorized('A', 0), started('B', 'A', 600), lost('B', 720), {
      type: 'broken',
      at: at(721),
      diagnosis: { code: 'successor_lost', since: 0 as Instant, said: null, evidence: '' },
    });
    expect(stateOf(apply(broken, received('B', 'A', 722)))).toBe('active');
  });

  test('once ended takes nothing any more', () => {
    const ended = fold(authorized('A', 0), { type: 'ended', at: at(1) });
    expect(stateOf(apply(ended, authorized('N', 2)))).toBe('revoked');
  });

  test('remembers eight links, and never forgets one that is not proven', () => {
    let chain = fold(authorized('L0', 0));
    for (let i = 1; i <= 20; i++) {
      chain = apply(chain, started(`L${i}`, `L${i - 1}`, i * 600));
      chain = apply(chain, received(`L${i}`, `L${i - 1}`, i * 600 + 1, undefined, i + 1));
    }
    expect(chain.links.length).toBeLessThanOrEqual(9);
    expect(chain.links.at(-1)?.id).toBe('L20');
    expect(chain.exchanges).toBe(20);
  });

  test('says of every diagnosis code what it means and what to do', () => {
    for (const { cause, remedy } of Object.values(DIAGNOSES)) expect([cause, remedy].every(Boolean)).toBe(true);
  });

  test('an answer that may lie unread in a journal stays open, whatever is answered later; once read it does not', () => {
    const unread = { ...lost('B', 12), reason: 'crash', isUnread: true } as ChainEventWithoutAnswer;
    const before = fold(authorized('A', 0), started('B', 'A', 1), unread, started('C', 'A', 13));
    const answered = apply(before, received('C', 'A', 14, undefined, 3));
    expect(answered.attempts.map((one) => one.id)).toEqual(['B']);
    expect(stateOf(answered)).toBe('active');
    const consulted = apply(answered, { type: 'consulted', at: at(20), node: 'n' });
    expect(consulted.attempts).toEqual([]);
    expect(stateOf(consulted)).toBe('active');
    expect(apply(answered, lost('B', 20)).attempts).toEqual([]);
  });
});

describe('after a restore, what journals tell of a time that the chain has forgotten', () => {
  // Of then: A gave B, B gave C, and C was presented twice, both times without an answer.
  const told = [
    received('B', 'A', 1_200),
    received('C', 'B', 1_800, undefined, 3),
    recalled('D', 'C', 4),
    recalled('E', 'C', 5),
  ];
  const orders = (of: readonly ChainEventWithoutAnswer[]): ChainEventWithoutAnswer[][] =>
    of.length === 0
      ? [[]]
      : of.flatMap((one) => orders(of.filter((other) => other !== one)).map((rest) => [one, ...rest]));

  test('leaves the newest token and who presented it, whichever journal is read first', () => {
    for (const order of orders(told)) {
      const chain = fold(authorized('A', 0), ...order);
      const names = order.map((one) => ('id' in one ? one.id : one.type === 'received' ? one.link.id : '')).join();
      expect(chain.links.at(-1)?.id, names).toBe('C');
      expect(linkOf(chain, 'C'), names).toMatchObject({ uses: 2, firstUsedAt: { at: 2_400_000 } });
      expect(linkOf(chain, 'A')?.uses, names).toBeGreaterThan(0);
      expect(
        chain.attempts.map((one) => one.id),
        names,
      ).toEqual(['D', 'E']);
      expect(chain.nextSequence, names).toBe(6);
      expect(stateOf(chain)).toBe('in_doubt');
    }
  });

  test('gives the chain a newer token although its older one was tried again meanwhile', () => {
    const tried = fold(
      authorized('A', 0),
      started('X', 'A', 600),
      lost('X', 720),
      started('Y', 'A', 730),
      lost('Y', 850),
    );
    expect(apply(tried, received('C', 'B', 1_800, undefined, 3)).links.at(-1)?.id).toBe('C');
    const newer = apply(tried, received('Y', 'A', 860, undefined, 3));
    expect(apply(newer, received('C', 'B', 1_800, undefined, 2)).links.at(-1)?.id).toBe('Y');
  });

  test('leaves no token unused where the one that was presented is not known', () => {
    const chain = fold(authorized('A', 0), recalled('D', 'C', 4));
    expect(linkOf(chain, 'A')?.uses).toBe(1);
    expect(stateOf(chain)).toBe('in_doubt');
  });

  test('is nothing new where the chain knows of the exchange, or of a later one that was answered', () => {
    const knows = fold(authorized('A', 0), started('B', 'A', 600), lost('B', 720));
    expect(apply(knows, recalled('B', 'A', 2))).toBe(knows);
    const notSent = apply(knows, { type: 'not_sent', at: at(730), id: 'B' as LinkId, reason: 'none' });
    expect(apply(notSent, recalled('B', 'A', 2))).toBe(notSent);
    const later = fold(authorized('A', 0), received('C', 'A', 1_800, undefined, 3));
    expect(apply(later, recalled('B', 'A', 2))).toBe(later);
  });

  test('is an exchange without an answer until that comes: tokens, a refusal, or that it never left', () => {
    const before = fold(authorized('A', 0), recalled('B', 'A', 2));
    expect(before.attempts[0]?.lost?.reason).toBe('restore');
    expect(apply(before, received('B', 'A', 1_200)).attempts).toEqual([]);
    expect(linkOf(apply(before, refused('B', 1_200, 'superseded')), 'A')?.refusal?.means).toBe('superseded');
    const unsent = apply(before, { type: 'not_sent', at: at(1), id: 'B' as LinkId, reason: 'none' });
    expect(linkOf(unsent, 'A')).toMatchObject({ uses: 0, firstUsedAt: null });
  });
});

describe('any sequence of events', () => {
  const ids = fc.constantFrom('A', 'B', 'C', 'D', 'E');
  const event: fc.Arbitrary<ChainEventWithoutAnswer> = fc.oneof(
    ids.map((id) => authorized(`N${id}`, 1)),
    fc.tuple(ids, ids).map(([id, of]) => started(id, of, 2)),
    fc.tuple(ids, ids, fc.integer({ min: 2, max: 9 })).map(([id, of, seq]) => received(id, of, 3, undefined, seq)),
    ids.map((id) => lost(id, 4)),
    fc.tuple(ids, ids, fc.integer({ min: 2, max: 9 })).map(([id, of, seq]) => recalled(id, of, seq)),
    ids.map((id) => published(id, 5)),
    ids.map((id) => refused(id, 6, 'superseded')),
    ids.map((id) => refused(id, 6, 'too_early')),
  );

  test('never loses a link that was received and not proven, and never publishes backwards', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), (events) => {
        let chain = fold(authorized('A', 0));
        for (const one of events) {
          const next = apply(chain, one);
          if (next.generation === chain.generation) {
            for (const due of chain.links.filter((held) => held.status !== 'proven')) {
              expect(next.links.some((held) => held.id === due.id)).toBe(true);
            }
            const sequence = (of: Chain) => of.links.find((held) => held.id === of.published)?.sequence ?? 0;
            expect(sequence(next)).toBeGreaterThanOrEqual(sequence(chain));
          }
          expect(next.exchanges).toBeGreaterThanOrEqual(chain.exchanges);
          expect(next.links.every((held) => held.uses >= 0)).toBe(true);
          chain = next;
        }
      }),
    );
  });

  test('appended twice changes nothing the second time', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 20 }), ids, ids, (events, id, parent) => {
        const once = events.reduce(apply, fold(authorized('A', 0)));
        const again = received(id, parent, 9);
        const first = apply(once, again);
        expect(apply(first, again)).toEqual(first);
      }),
    );
  });
});
