import { expect, test } from 'vitest';
import type { ReceivedLink, RecordedEvent } from '../core/chain.ts';
import type { LinkId } from '../core/id.ts';
import type { Fingerprint } from '../core/secret.ts';
import { NOW } from './fake-keeper.ts';
import { serve } from './fake-server.ts';

const at = { at: NOW, boot: 'b', uptimeMs: 0 };
const id = (name: string): LinkId => `lnk_${name}`;
const link = (name: string): ReceivedLink & { readonly fingerprint: Fingerprint } => ({
  id: id(name),
  fingerprint: `fp-${name}` as Fingerprint,
  node: 'n1',
  requestedAt: at,
  receivedAt: at,
  accessTokenLifeMs: 600_000,
  scope: 'a b',
});
const said = { status: 400, error: 'invalid_grant', description: 'Token is not allowed' };

const EVENTS: readonly RecordedEvent['event'][] = [
  { type: 'authorized', at, link: link('1'), by: 'code' },
  { type: 'started', at, id: id('2'), presented: id('1'), node: 'n1', run: 'r' },
  { type: 'refused', at, id: id('2'), means: 'superseded', said },
  { type: 'authorized', at, link: link('3'), by: 'import' },
  { type: 'received', at, link: link('4'), parent: id('3'), sequence: 3 },
];
const newestFirst = EVENTS.map((event, i) => ({ version: i + 1, event })).toReversed();

test('the history tells each exchange: parent, fingerprint, node, outcome and what the provider said [S108]', async () => {
  const { send, keeper } = await serve();
  keeper.addGrant('eol', { generation: 2 });
  keeper.history = newestFirst;
  const { items, next } = (await send('GET', '/v1/grants/eol/history')).json();
  expect(next).toBeNull();
  expect(items[0]).toEqual({
    version: 5,
    type: 'received',
    at: '2026-11-21T12:00:00.000Z',
    generation: 2,
    link: 'lnk_4',
    parent: 'lnk_3',
    fingerprint: 'fp-4',
    node: 'n1',
    outcome: 'tokens',
    requested_at: '2026-11-21T12:00:00.000Z',
    received_at: '2026-11-21T12:00:00.000Z',
    access_token_life: 600,
    scope: 'a b',
  });
  expect(items[2]).toMatchObject({ type: 'refused', outcome: 'superseded', said });
});

test('generations are counted right on every page', async () => {
  const { send, keeper } = await serve();
  keeper.addGrant('eol', { generation: 2 });
  keeper.history = newestFirst;
  const generations: number[] = [];
  let after = '';
  do {
    const page = (await send('GET', `/v1/grants/eol/history?limit=2${after}`)).json();
    generations.push(...page.items.map((item: { generation: number }) => item.generation));
    after = page.next === null ? '' : `&after=${encodeURIComponent(page.next)}`;
  } while (after !== '');
  expect(generations).toEqual([2, 2, 1, 1, 1]);
});

test('a cursor of another list is refused', async () => {
  const { send, keeper } = await serve();
  keeper.addGrant('eol');
  expect((await send('GET', '/v1/grants/eol/history?after=grt_1')).json()).toMatchObject({ code: 'invalid_request' });
});
