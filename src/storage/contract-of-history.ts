/** What every store must leave out of histories, and what never. Part of the store's contract. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ChainEvent, RecordedEvent } from '../core/chain.ts';
import type { Store } from '../ports/store.ts';
import { PASSING_KEPT } from './fold.ts';
import { answered, at, authorized, deferred, GRANT, linkNamed, ME, published, started } from './story.fixture.ts';

const LEASE_MS = 3_600_000;

function lost(name: string): ChainEvent {
  return { type: 'lost', at: at(3), id: linkNamed(name), reason: 'no_answer', said: null };
}

function refused(name: string, means: 'throttled' | 'revoked'): ChainEvent {
  const said = { status: 400, error: 'invalid_grant', description: null };
  return { type: 'refused', at: at(3), id: linkNamed(name), means, said };
}

/** Runs the rules of bounded histories; a small part of `storeContract`, with many appends. */
export function boundedHistoryContract(name: string, open: () => Promise<Store>): void {
  describe(name, () => {
    let store: Store;
    beforeEach(async () => {
      store = await open();
      await store.nodes.join(ME, 'folder', LEASE_MS);
    });
    afterEach(() => store.close());

    const append = (event: ChainEvent) => store.chains.append(GRANT, 'any', event);
    const history = async (): Promise<readonly RecordedEvent[]> => {
      return (await store.chains.history(GRANT, { limit: 1000, after: null })).items.toReversed();
    };
    /** Exchanges without an answer, while a provider is away. */
    const fail = async (times: number, end: (name: string) => ChainEvent): Promise<void> => {
      for (let i = 0; i < times; i++) {
        await append(started(`x${i}`, 'a'));
        await append(end(`x${i}`));
      }
    };

    test('of exchanges of which nothing came, the history keeps the newest, and of all others everything', async () => {
      await append(authorized('a'));
      await append(started('b', 'a'));
      await append(answered('b', 'a'));
      await append(published('b'));
      await fail(PASSING_KEPT, lost);
      await append(started('c', 'b'));
      await append(answered('c', 'b', 2 * PASSING_KEPT));
      const items = await history();
      expect(items.slice(0, 4).map((one) => one.event.type)).toEqual([
        'authorized',
        'started',
        'received',
        'published',
      ]);
      expect(items.slice(-2).map((one) => one.event.type)).toEqual(['started', 'received']);
      const passing = items.slice(4, -2);
      expect(passing).toHaveLength(PASSING_KEPT);
      expect(passing.at(-1)).toMatchObject({
        version: 4 + 2 * PASSING_KEPT,
        event: { id: `lnk_x${PASSING_KEPT - 1}` },
      });
      expect(passing[0]).toMatchObject({ version: 5 + PASSING_KEPT, event: { type: 'started' } });
    });

    test('an exchange that is under way is in the history, however many came before it', async () => {
      await append(authorized('a'));
      await append(started('b', 'a'));
      await fail(PASSING_KEPT, (id) => refused(id, 'throttled'));
      expect((await history())[1]).toMatchObject({ version: 2, event: { type: 'started', id: 'lnk_b' } });
    });

    test('what a provider says of a token that is dead is kept, and reasons to wait are not, beyond the newest', async () => {
      await append(authorized('a'));
      await append(started('b', 'a'));
      await append(refused('b', 'revoked'));
      for (let i = 0; i < PASSING_KEPT; i++) {
        await append(deferred('upstream_unavailable'));
        await append(deferred('throttled'));
      }
      const items = await history();
      expect(items.slice(0, 3).map((one) => one.event.type)).toEqual(['authorized', 'started', 'refused']);
      expect(items).toHaveLength(3 + PASSING_KEPT);
    });
  });
}
