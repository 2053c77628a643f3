/** `/v1/journals`: the journals of all nodes, for operators: whose is awaited, merged from its folder, or given up. */
import { z } from 'zod';
import type { Instant, Moment } from '../core/instant.ts';
import type { Fingerprint, Sealed } from '../core/secret.ts';
import type { JournalStatus } from '../keeper/keeper.ts';
import type { JournalRecord } from '../ports/journal.ts';
import type { HttpParts, Routes } from './parts.ts';
import { named, problems, text } from './schemas.ts';

const LONGEST_SEALED = 1_048_576;
const MOST_RECORDS = 10_000;
const MOST_NODES = 100;

const NodeId = text(255);
const Params = z.object({ node: NodeId });
const Id = <P extends string>(prefix: P) =>
  z
    .string()
    .max(100)
    .refine((value): value is `${P}_${string}` => value.startsWith(`${prefix}_`), 'is not such an id');
const sealed = z
  .string()
  .max(LONGEST_SEALED)
  .transform((value) => value as Sealed);
const moment = z
  .object({ at: z.number(), boot: z.string().max(255), uptimeMs: z.number() })
  .transform((value): Moment => ({ ...value, at: value.at as Instant }));
const ofGrant = {
  grant: Id('grt'),
  link: Id('lnk'),
  generation: z.int().nullable(),
  node: NodeId,
};
const received = z.object({
  id: Id('lnk'),
  fingerprint: z
    .string()
    .max(100)
    .transform((value) => value as Fingerprint),
  node: NodeId,
  requestedAt: moment,
  receivedAt: moment,
  accessTokenLifeMs: z.number().nullable(),
  scope: z.string().nullable(),
});

/** As the folder of a journal holds it; sealed by the node that wrote it. */
const RecordJson = z.discriminatedUnion('purpose', [
  z.strictObject({
    purpose: z.enum(['exchange', 'authorization']),
    ...ofGrant,
    presented: Id('lnk').nullable(),
    sequence: z.int().nullable(),
    requestedAt: moment,
    receivedAt: moment,
    answer: sealed,
  }),
  z.strictObject({
    purpose: z.literal('begun'),
    ...ofGrant,
    at: moment,
    by: z.enum(['code', 'import']),
    received,
    answer: sealed,
    app: Id('app'),
    grantBody: z.string().max(LONGEST_SEALED),
    appBody: z.string().max(LONGEST_SEALED),
  }),
  z.strictObject({ purpose: z.enum(['ended', 'removed']), ...ofGrant, at: moment }),
  z.strictObject({
    purpose: z.literal('intent'),
    ...ofGrant,
    at: moment,
    attempt: Id('lnk'),
    presented: Id('lnk'),
    sequence: z.int(),
    run: text(255),
  }),
  z.strictObject({ purpose: z.literal('unsent'), ...ofGrant, at: moment, attempt: Id('lnk') }),
]);

const MergeBody = named(
  'JournalPart',
  z.strictObject({
    records: z.array(RecordJson).max(MOST_RECORDS),
    nodes: z
      .array(NodeId)
      .max(MOST_NODES)
      .default([])
      .describe('With the last part: the nodes whose journal was read to its end.'),
  }),
);
const MergedJson = named(
  'MergedJournal',
  z.object({
    brought: z.int(),
    waiting: z.int().describe('They come after records of a journal that has not been merged yet.'),
    failed: z.int().describe('App or provider of their grant is not here.'),
    unreadable: z.int(),
    grants: z.array(z.string()).describe('Those that had waited for this journal.'),
  }),
);
const AbandonBody = z.strictObject({
  i_understand: z.literal(true).describe('What only that journal holds is lost: its grants may need a person.'),
});
const AbandonedJson = named(
  'AbandonedJournal',
  z.object({ node: z.string(), grants: z.array(z.string()), after_restore: z.boolean() }),
);
const StatusJson = named(
  'Journals',
  z.object({
    node: z.string().describe('The node that answers.'),
    restoring: z.boolean().describe('The store was restored from an older backup, and a journal is awaited.'),
    journal: z.object({
      last: z.int(),
      settled_up_to: z.int(),
      told: z.int(),
      unsettled: z.int(),
      segments: z.int(),
      bytes: z.int(),
    }),
    nodes: z.array(
      z.object({
        id: z.string(),
        here: z.boolean(),
        merged: z.int(),
        given_up: z.boolean(),
        awaited: z.boolean(),
        grants: z.int().describe('Grants that wait for what its journal may hold.'),
      }),
    ),
  }),
);

function statusJson({ node, isRestoring, journal, nodes }: JournalStatus): z.infer<typeof StatusJson> {
  const { settledUpTo, ...figures } = journal;
  return {
    node,
    restoring: isRestoring,
    journal: { ...figures, settled_up_to: settledUpTo },
    nodes: nodes.map(({ id, isHere, merged, isGivenUp, isAwaited, grants }) => {
      return { id, here: isHere, merged, given_up: isGivenUp, awaited: isAwaited, grants };
    }),
  };
}

export function journalRoutes(routes: Routes, { keeper }: HttpParts): void {
  routes.get(
    '/v1/journals',
    { schema: { summary: 'How the journals of all nodes stand', response: { 200: StatusJson, ...problems } } },
    async () => statusJson(await keeper.journals.status()),
  );

  routes.post(
    '/v1/journals/merge',
    {
      schema: {
        summary: 'Bring in the journal of a node that will not come back, in parts',
        body: MergeBody,
        response: { 200: MergedJson, ...problems },
      },
    },
    async ({ body }) => {
      const records: readonly JournalRecord[] = body.records;
      const { grants, ...counts } = await keeper.journals.merge(records, body.nodes);
      return { ...counts, grants: [...grants] };
    },
  );

  routes.post(
    '/v1/journals/:node/abandon',
    {
      schema: {
        summary: 'Give up the journal of a node that will not come back',
        params: Params,
        body: AbandonBody,
        response: { 200: AbandonedJson, ...problems },
      },
    },
    async ({ params }) => {
      const { grants, isAfterRestore } = await keeper.journals.abandon(params.node);
      return { node: params.node, grants: [...grants], after_restore: isAfterRestore };
    },
  );
}
