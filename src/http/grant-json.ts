/** A grant as the API shows it. */
import { z } from 'zod';
import { DIAGNOSES, type Diagnosis, type DiagnosisCode } from '../core/diagnosis.ts';
import { type Instant, toRfc3339 } from '../core/instant.ts';
import type { Grant } from '../keeper/keeper.ts';
import { FreshnessJson, GRANT_STATES, named, SCHEMES, Time } from './schemas.ts';

const Said = named(
  'Said',
  z.object({ status: z.int(), error: z.string().nullable(), description: z.string().nullable() }),
);

export const DiagnosisJson = named(
  'Diagnosis',
  z.object({
    code: z.enum(Object.keys(DIAGNOSES) as DiagnosisCode[]),
    cause: z.string(),
    remedy: z.string(),
    retry: z.boolean().describe('Whether it may pass without a person.'),
    evidence: z.string().describe('What the record of the chain shows.'),
    since: Time,
    said: Said.nullable().describe('What the provider said.'),
  }),
);

export const GrantJson = named(
  'Grant',
  z.object({
    id: z.string(),
    alias: z.string(),
    provider: z.string(),
    scheme: z.enum(['refresh_token', ...SCHEMES]).describe('How it gets access tokens, or does without.'),
    app: z.string(),
    owner: z.string().nullable(),
    labels: z.record(z.string(), z.string()),
    freshness: FreshnessJson,
    account: z.object({ subject: z.string(), label: z.string().nullable() }).nullable(),
    scope: z.object({
      requested: z.array(z.string()),
      granted: z.array(z.string()).nullable(),
      missing: z.array(z.string()),
    }),
    state: z.enum(GRANT_STATES),
    state_since: Time,
    access_token_expires_at: Time.nullable(),
    next_exchange_at: Time.nullable(),
    expires: z
      .object({
        idle_at: Time.nullable(),
        absolute_at: Time.nullable(),
        earliest_at: Time.nullable(),
        earliest_reason: z.enum(['idle', 'absolute']).nullable().describe('Of what it would end at `earliest_at`.'),
        announced_at: Time.nullable().describe('When it was last announced that a person is needed by `absolute_at`.'),
        next_announcement_at: Time.nullable(),
        warnings: z
          .array(z.object({ code: z.string(), text: z.string() }))
          .describe('What makes the margin small, such as an end that is near.'),
      })
      .describe('When the grant ends if nothing is done.'),
    generation: z.int().describe('How often the grant was authorized.'),
    exchanges: z.int(),
    diagnosis: DiagnosisJson.optional(),
    clients: z.array(z.string()).describe('Ids of clients that may use it; at most a hundred.'),
    created_at: Time,
  }),
);

/** What comes back when a grant is made or renewed: also the link for a person. */
export const PendingGrantJson = named(
  'PendingGrant',
  GrantJson.extend({ authorization_url: z.string().optional(), authorization_expires_at: Time.optional() }),
);

export function grantJson(grant: Grant, clients: readonly string[] = []): z.infer<typeof GrantJson> {
  return {
    id: grant.id,
    alias: grant.alias,
    provider: grant.provider,
    scheme: grant.scheme ?? 'refresh_token',
    app: grant.app,
    owner: grant.owner,
    labels: { ...grant.labels },
    freshness: grant.freshness,
    account: grant.account,
    scope: {
      requested: [...grant.scope.requested],
      granted: grant.scope.granted ? [...grant.scope.granted] : null,
      missing: [...grant.scope.missing],
    },
    state: grant.state,
    state_since: toRfc3339(grant.stateSince),
    access_token_expires_at: time(grant.accessTokenExpiresAt),
    next_exchange_at: time(grant.nextExchangeAt),
    expires: {
      idle_at: time(grant.expires.idleAt),
      absolute_at: time(grant.expires.absoluteAt),
      earliest_at: time(grant.expires.earliestAt),
      earliest_reason: grant.expires.earliestReason,
      announced_at: time(grant.expires.announcedAt),
      next_announcement_at: time(grant.expires.nextAnnouncementAt),
      warnings: grant.expires.warnings.map(({ code, text }) => ({ code, text })),
    },
    generation: grant.generation,
    exchanges: grant.exchanges,
    ...(grant.diagnosis ? { diagnosis: diagnosisJson(grant.diagnosis) } : {}),
    clients: [...clients],
    created_at: toRfc3339(grant.createdAt),
  };
}

export function diagnosisJson(diagnosis: Diagnosis): z.infer<typeof DiagnosisJson> {
  const { cause, remedy, retry } = DIAGNOSES[diagnosis.code];
  const { code, evidence, said } = diagnosis;
  return { code, cause, remedy, retry, evidence, since: toRfc3339(diagnosis.since), said };
}

/** RFC 3339; null for never and for not known. */
export function time(instant: Instant | null): string | null {
  return instant === null || !Number.isFinite(instant) ? null : toRfc3339(instant);
}
