/**
 * Handing a chain to another owner. Two owners break a chain, so it ends here: only once what was read is safely kept,
 * and only while the chain still is as it was read. For the machine that holds the root key; never over HTTP.
 */
import { type ChainEvent, newestLink, stateOf } from '../core/chain.ts';
import { EvergrantError } from '../core/errors.ts';
import type { AppId, GrantId } from '../core/id.ts';
import type { Instant } from '../core/instant.ts';
import type { AccessToken, ClientSecret, PrivateKey, RefreshToken } from '../core/secret.ts';
import { privateKeyOf } from './apps.ts';
import type { GrantRegistry } from './grants.ts';
import { heldAnswer } from './held-answers.ts';
import { journalEnds } from './journaling.ts';
import type { Minders } from './minders.ts';
import type { KeeperParts } from './parts.ts';
import { tokensOf } from './reading.ts';
import { type AppRecord, parseRecord } from './records.ts';
import type { Upstreams } from './upstream.ts';
import type { Apps } from './keeper.ts';

/** Everything that an import elsewhere wants to know. */
export interface ExportedGrant {
  readonly grant: GrantId;
  readonly alias: string;
  readonly provider: string;
  readonly clientId: string;
  readonly clientSecret: ClientSecret | null;
  /** Of an app that signs instead of having a secret. */
  readonly privateKey: PrivateKey | null;
  readonly variables: Readonly<Record<string, string>>;
  readonly refreshToken: RefreshToken;
  readonly accessToken: AccessToken | null;
  /** The whole life of the access token, from `obtainedAt`. */
  readonly accessTokenLifeMs: number | null;
  readonly obtainedAt: Instant;
  readonly owner: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly scope: readonly string[];
  /** Of the chain as it was read. */
  readonly version: number;
}

export interface Exports {
  /** Reads, and changes nothing. Rejects where the chain has no token that another owner could use. */
  read(idOrAlias: string): Promise<ExportedGrant>;
  /** Ends it here. False: it has moved on since it was read, so it stays, and what was read is worth nothing. */
  end(exported: ExportedGrant): Promise<boolean>;
}

export function grantExports(
  parts: KeeperParts,
  registry: GrantRegistry,
  apps: Apps,
  minders: Minders,
  upstreams: Upstreams,
): Exports {
  return {
    async read(idOrAlias) {
      const { value: record } = await registry.record(idOrAlias);
      if (record.scheme) throw hasNoToken(record.id, record.scheme);
      const { chain, version } = await parts.store.chains.read(record.id);
      const newest = newestLink(chain);
      if (chain.end || chain.attempts.length > 0 || !newest) throw notPossible(record.id, stateOf(chain));
      const upstream = await upstreams.of(record.app);
      const tokens = async (link: typeof newest.id) => {
        const answer = await heldAnswer(parts, record.id, link);
        return answer && tokensOf(answer, upstream.provider, newest.receivedAt.at);
      };
      const refreshToken = (await tokens(newest.tokenOf))?.refreshToken;
      if (!refreshToken) throw notPossible(record.id, stateOf(chain));
      const { alias, owner, labels, scope, provider } = record;
      return {
        grant: record.id,
        alias: alias ?? record.id,
        provider,
        clientId: upstream.clientId,
        clientSecret: upstream.clientSecret,
        privateKey: await keyOf(parts, record.app),
        variables: (await apps.get(record.app)).variables,
        refreshToken,
        accessToken: (await tokens(newest.id))?.accessToken ?? null,
        accessTokenLifeMs: newest.accessTokenLifeMs,
        obtainedAt: newest.receivedAt.at,
        owner,
        labels,
        scope,
        version,
      };
    },

    async end({ grant, version, alias }) {
      const minder = await minders.of(grant);
      const settled = await journalEnds(parts, (await registry.record(grant)).value);
      const ended: ChainEvent = { type: 'ended', at: parts.clock.moment() };
      let isDone = false;
      await minder.change(async () => {
        const appended = await parts.store.chains.append(grant, version, ended, () => null);
        isDone = appended.outcome === 'appended';
        return appended;
      });
      settled();
      if (!isDone) return false;
      minder.drop();
      await registry.change(grant, (record) => ({ ...record, accountKey: null }));
      parts.log.warn('A grant was exported, and ended here.', { grant, alias });
      return true;
    },
  };
}

async function keyOf(parts: KeeperParts, app: AppId): Promise<PrivateKey | null> {
  const stored = await parts.store.records.get('app', app);
  return stored && privateKeyOf(parts, parseRecord<AppRecord>(stored).value);
}

function hasNoToken(grant: GrantId, scheme: string): EvergrantError {
  return new EvergrantError(
    'in_use',
    `Grant ${grant} is one of ${scheme}: it has no chain that could be handed over.`,
    {
      remedy: 'Make it anew elsewhere with the same credentials; two may use them at once.',
      grant,
    },
  );
}

function notPossible(grant: GrantId, state: string): EvergrantError {
  return new EvergrantError(
    'in_use',
    `Grant ${grant} is ${state}: it has no refresh token that could be handed over.`,
    {
      remedy: 'Wait until it is active, or renew it; a grant that has ended has nothing to export.',
      grant,
    },
  );
}
