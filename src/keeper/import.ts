/**
 * Taking over a chain whose refresh token was obtained elsewhere. Its fingerprint is compared with every token ever
 * held before anything is sent: presenting an old token could end a healthy chain.
 */
import { type ChainEvent, newestLink, stateOf } from '../core/chain.ts';
import { EvergrantError } from '../core/errors.ts';
import type { GrantId, LinkId } from '../core/id.ts';
import type { Instant, Moment } from '../core/instant.ts';
import type { Fingerprint } from '../core/secret.ts';
import { type KeptAnswer, sealAnswer } from './answers.ts';
import { keep } from './exchange.ts';
import type { StoredChain } from '../ports/store.ts';
import { type GrantRegistry, insert, newRecord } from './grants.ts';
import { journalBeginning } from './journaling.ts';
import type { ImportedGrant } from './keeper.ts';
import type { Minders } from './minders.ts';
import { freshId, type KeeperParts } from './parts.ts';
import { type GrantRecord, parseRecord } from './records.ts';
import type { Upstream, Upstreams } from './upstream.ts';

export async function importChain(
  parts: KeeperParts,
  registry: GrantRegistry,
  minders: Minders,
  upstreams: Upstreams,
  wish: ImportedGrant,
): Promise<GrantRecord> {
  const fingerprint = parts.sealer.fingerprint(wish.refreshToken);
  await assertNew(parts, fingerprint);
  const record = await recordFor(parts, registry, upstreams, wish, fingerprint);
  const minder = await minders.of(record.id);
  const upstream = await upstreams.of(record.app);
  await minder.change(async () => {
    const before = await parts.store.chains.read(record.id);
    const link = freshId(parts, 'lnk');
    const kept = before.chain.generation > 0 ? before : await keepImported(parts, record, upstream, wish, link, before);
    if (!kept.chain.links.some((one) => one.id === link)) throw held(record.id, true);
    return kept;
  });
  await minder.advance();
  // The first run published what was brought; the second one exchanges it.
  if (wish.takeover) await minder.advance();
  return (await registry.record(record.id)).value;
}

/**
 * The grant for an import. Its unique term makes two imports of one token one import; one that was cut off before it
 * had a chain is taken up again.
 */
async function recordFor(
  parts: KeeperParts,
  registry: GrantRegistry,
  upstreams: Upstreams,
  wish: ImportedGrant,
  fingerprint: Fingerprint,
): Promise<GrantRecord> {
  const begun = await parts.store.records.find('grant', 'imported', fingerprint);
  if (begun) {
    const { value } = parseRecord<GrantRecord>(begun);
    if ((await parts.store.chains.read(value.id)).chain.generation === 0) return value;
  }
  const wished = await newRecord(parts, upstreams, wish);
  return insert(parts, registry, wished, [{ name: 'imported', value: fingerprint, unique: true }]);
}

/** Refuses a token that is or was part of a chain here. Chains that have ended do not count. */
async function assertNew(parts: KeeperParts, fingerprint: Fingerprint): Promise<void> {
  for (const holder of await parts.store.chains.holders(fingerprint)) {
    const { chain } = await parts.store.chains.read(holder.grant);
    if (stateOf(chain) === 'revoked' || chain.generation === 0) continue;
    const isCurrent = newestLink(chain)?.fingerprint === fingerprint;
    throw held(holder.grant, isCurrent);
  }
}

function held(grant: GrantId, isCurrent: boolean): EvergrantError {
  return isCurrent
    ? new EvergrantError('already_held', `Grant ${grant} holds this refresh token already. Nothing was sent.`, {
        grant,
        remedy: 'Nothing to do: use that grant.',
      })
    : new EvergrantError('older_than_held', `Grant ${grant} holds a newer token of the same chain. Nothing was sent.`, {
        grant,
        remedy: 'Use that grant, and stop what still holds the old token.',
      });
}

/** What an import brings of a chain. */
type ImportedTokens = Pick<ImportedGrant, 'refreshToken' | 'accessToken' | 'expiresInMs' | 'obtainedAt'>;

/** The first link of a chain, or of its next generation, from what was brought. */
export async function keepImported(
  parts: KeeperParts,
  record: GrantRecord,
  upstream: Upstream,
  wish: ImportedTokens,
  id: LinkId,
  before: StoredChain,
): Promise<StoredChain> {
  const answer: KeptAnswer = {
    from: 'import',
    refreshToken: wish.refreshToken.reveal(),
    accessToken: wish.accessToken?.reveal() ?? null,
  };
  const event: ChainEvent & { type: 'authorized' } = {
    type: 'authorized',
    at: parts.clock.moment(),
    by: 'import',
    link: {
      id,
      fingerprint: parts.sealer.fingerprint(wish.refreshToken),
      node: parts.node,
      requestedAt: obtained(parts, upstream, wish),
      receivedAt: obtained(parts, upstream, wish),
      accessTokenLifeMs: importedLifeMs(upstream, wish),
      scope: null,
    },
    answer: sealAnswer(parts.sealer, record.id, id, answer),
  };
  await journalBeginning(parts, record.id, before.chain.generation + 1, event);
  const kept = await keep(parts, record.id, event, answer, before.version);
  parts.journal.settled(id, 'tokens');
  return kept;
}

/** Margin beyond the spacing, so that an import of unknown age is exchanged at once. */
const SPACING_MARGIN_MS = 10_000;

/**
 * When the tokens were obtained. Where the importer does not say: as the rest of the access token's life tells, else
 * long enough ago for an exchange, which a provider with a spacing may answer with "too early" without harm.
 */
function obtained(parts: KeeperParts, upstream: Upstream, wish: ImportedTokens): Moment {
  const now = parts.clock.now();
  const { life, pacing } = upstream.provider.policy;
  if (wish.obtainedAt !== undefined) return byWallOnly(Math.min(now, wish.obtainedAt));
  if (wish.expiresInMs === undefined) return byWallOnly(now - pacing.minSpacingMs - SPACING_MARGIN_MS);
  const spentMs = life.accessTokenMs === null ? 0 : Math.max(0, life.accessTokenMs - wish.expiresInMs);
  return byWallOnly(now - spentMs);
}

function importedLifeMs(upstream: Upstream, wish: ImportedTokens): number | null {
  if (!wish.accessToken || wish.expiresInMs === undefined) return null;
  const { accessTokenMs } = upstream.provider.policy.life;
  // With an instant, the life counts from it; without, what is left counts from now, and `obtained` lies before.
  if (wish.obtainedAt !== undefined || accessTokenMs === null) return wish.expiresInMs;
  return Math.max(wish.expiresInMs, accessTokenMs);
}

/** A moment of another machine: only its wall clock is known. */
function byWallOnly(at: number): Moment {
  return { at: at as Instant, boot: 'elsewhere', uptimeMs: 0 };
}
