/** `/v1/grants/{g}/history`: links and exchanges of a grant, newest first. */
import { z } from 'zod';
import type { ChainEventWithoutAnswer, ReceivedLink, RecordedEvent } from '../core/chain.ts';
import { toRfc3339 } from '../core/instant.ts';
import { diagnosisJson } from './grant-json.ts';
import type { HttpParts, Routes } from './parts.ts';
import { invalidRequest } from './problem.ts';
import { Name, named, PageQuery, pageOf, problems, Time } from './schemas.ts';

const HistoryItem = named(
  'HistoryItem',
  z.object({
    version: z
      .int()
      .describe(
        'Counts the events of this grant; where numbers are missing, old ones of which nothing came were left out.',
      ),
    type: z.string(),
    at: Time,
    generation: z.int().describe('Which authorization of the grant it belongs to.'),
    link: z.string().nullable().describe('The exchange or authorization.'),
    parent: z.string().nullable().describe('The link whose refresh token was presented.'),
    fingerprint: z.string().nullable().describe('Of the refresh token that was received; says nothing about it.'),
    node: z.string().nullable(),
    outcome: z.string(),
    said: z.unknown().optional().describe('What the provider said.'),
    requested_at: Time.optional(),
    received_at: Time.optional(),
    access_token_life: z.number().nullable().optional().describe('Seconds.'),
    scope: z.string().nullable().optional(),
    retry_after: z.number().optional().describe('Seconds for which nothing is sent.'),
    diagnosis: z.unknown().optional(),
    ends_at: Time.optional().describe('When the authorization ends, whatever is done.'),
  }),
);
type HistoryItem = z.infer<typeof HistoryItem>;
type Told = Pick<HistoryItem, 'outcome'> & Partial<Omit<HistoryItem, 'version' | 'type' | 'at' | 'generation'>>;

export function historyRoutes(routes: Routes, { keeper }: HttpParts): void {
  routes.get(
    '/v1/grants/:grant/history',
    {
      schema: {
        summary: 'Links and exchanges, newest first',
        params: z.object({ grant: Name }),
        querystring: PageQuery,
        response: { 200: pageOf(HistoryItem), ...problems },
      },
    },
    async ({ params, query }) => {
      const cursor = query.after === undefined ? null : readCursor(query.after);
      const generation = cursor?.generation ?? (await keeper.grants.get(params.grant)).generation;
      const page = await keeper.grants.history(params.grant, { limit: query.limit, after: cursor?.after ?? null });
      return historyPage(page.items, page.next, generation);
    },
  );
}

/**
 * Events do not name their generation: it is counted down from the newest, one at each authorization. So the cursor
 * carries it along.
 */
export function historyPage(events: readonly RecordedEvent[], next: string | null, newestGeneration: number) {
  let generation = newestGeneration;
  const items: HistoryItem[] = [];
  for (const { version, event } of events) {
    items.push(itemOf(version, event, generation));
    if (event.type === 'authorized') generation = Math.max(0, generation - 1);
  }
  return { items, next: next === null ? null : `${generation}~${next}` };
}

function readCursor(text: string): { readonly generation: number; readonly after: string } {
  const parts = /^(\d{1,9})~(.+)$/.exec(text);
  if (!parts?.[1] || !parts[2]) throw invalidRequest('after: is not a cursor of this list.');
  return { generation: Number(parts[1]), after: parts[2] };
}

function itemOf(version: number, event: ChainEventWithoutAnswer, generation: number): HistoryItem {
  const nothing = { link: null, parent: null, fingerprint: null, node: null };
  return { version, type: event.type, at: toRfc3339(event.at.at), generation, ...nothing, ...tell(event) };
}

const RESTORED = 'The store is older than what its nodes remember.';
const FORGOTTEN = 'As a journal tells; the store had forgotten it.';
const UNREAD = 'An answer may lie in the journal of a node that is not here.';

function tell(event: ChainEventWithoutAnswer): Told {
  switch (event.type) {
    case 'authorized':
      return { ...tellLink(event.link), outcome: event.by === 'import' ? 'imported' : 'authorized' };
    case 'started':
      return { link: event.id, parent: event.presented, node: event.node, outcome: 'sent' };
    case 'recalled':
      return { link: event.id, parent: event.presented, node: event.node, outcome: 'sent', said: FORGOTTEN };
    case 'not_sent':
      return { link: event.id, outcome: 'not_sent', said: event.reason };
    case 'lost':
      return { link: event.id, outcome: event.reason, said: event.said };
    case 'received':
      return { ...tellLink(event.link), parent: event.parent, outcome: 'tokens' };
    case 'refused':
      return { link: event.id, outcome: event.means, said: event.said };
    case 'published':
    case 'proven':
    case 'damaged':
      return { link: event.link, outcome: event.type };
    case 'deferred':
      return { outcome: event.deferral.why, said: event.deferral.said, retry_after: event.deferral.forMs / 1000 };
    case 'resumed':
    case 'released':
      return { outcome: event.type };
    case 'held':
      return { node: event.node, outcome: 'held', said: event.why === 'restore' ? RESTORED : UNREAD };
    case 'abandoned':
      return { node: event.node, outcome: 'journal_given_up' };
    case 'consulted':
      return { node: event.node, outcome: 'journal_read' };
    case 'announced':
      return { outcome: 'end_announced', ends_at: toRfc3339(event.announcement.endsAt) };
    case 'broken':
      return { outcome: event.diagnosis.code, said: event.diagnosis.said, diagnosis: diagnosisJson(event.diagnosis) };
    case 'ended':
      return { outcome: 'revoked' };
  }
}

function tellLink(link: ReceivedLink) {
  return {
    link: link.id,
    fingerprint: link.fingerprint,
    node: link.node,
    requested_at: toRfc3339(link.requestedAt.at),
    received_at: toRfc3339(link.receivedAt.at),
    access_token_life: link.accessTokenLifeMs === null ? null : link.accessTokenLifeMs / 1000,
    scope: link.scope,
  };
}
