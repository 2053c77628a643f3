/** Grants with credentials: made, and given other ones. */
import type { StoredChain } from '../../ports/store.ts';
import { EvergrantError } from '../../core/errors.ts';
import type { Scheme } from '../../catalogue/provider.ts';
import { type Freshness, ON_DEMAND } from '../freshness.ts';
import { type GrantRegistry, insert, newRecord } from '../grants.ts';
import { keepImported } from '../import.ts';
import type { NewGrantWithCredentials } from '../keeper.ts';
import type { ChainMinder } from '../minder.ts';
import type { Minders } from '../minders.ts';
import { freshId, type KeeperParts } from '../parts.ts';
import type { GrantRecord } from '../records.ts';
import type { Upstreams } from '../upstream.ts';
import { type Credentials, credentialText } from './credential.ts';
import { checkScheme, inScheme, isHeaderScheme } from './scheme.ts';

export async function createWithCredentials(
  parts: KeeperParts,
  registry: GrantRegistry,
  minders: Minders,
  upstreams: Upstreams,
  wish: NewGrantWithCredentials,
): Promise<GrantRecord> {
  const { scheme, credentials } = wish;
  const record = await newRecord(parts, upstreams, wish, scheme);
  checkScheme(await upstreams.of(record.app), scheme, credentials);
  checkFresh(scheme, wish.freshness);
  await insert(parts, registry, record);
  await hold(parts, minders, upstreams, record, credentials);
  return record;
}

/** What goes to the API as it is does not end. Throws `invalid_request`. */
export function checkFresh(scheme: Scheme | undefined, { mode }: Freshness = ON_DEMAND): void {
  if (scheme && isHeaderScheme(scheme) && mode !== 'on_demand') throw nothingToKeepFresh(scheme);
}

/** The next generation of the same grant, as a renewal is with a person. */
export async function changeCredentials(
  parts: KeeperParts,
  minders: Minders,
  upstreams: Upstreams,
  record: GrantRecord,
  credentials: Credentials,
): Promise<void> {
  if (!record.scheme) throw noCredentials(record);
  checkScheme(await upstreams.of(record.app), record.scheme, credentials);
  await hold(parts, minders, upstreams, record, credentials);
}

async function hold(
  parts: KeeperParts,
  minders: Minders,
  upstreams: Upstreams,
  record: GrantRecord,
  credentials: Credentials,
): Promise<void> {
  if (!record.scheme) return;
  const minder: ChainMinder = await minders.of(record.id);
  const upstream = inScheme(await upstreams.of(record.app), record.scheme);
  const refreshToken = credentialText(record, record.scheme, credentials);
  const held = { refreshToken, obtainedAt: parts.clock.now() };
  await minder.change(async (): Promise<StoredChain> => {
    const before = await parts.store.chains.read(record.id);
    return keepImported(parts, record, upstream, held, freshId(parts, 'lnk'), before);
  });
  await minder.advance();
  // The first run took up what was given; the second one asks for a token.
  if (!isHeaderScheme(record.scheme)) await minder.advance();
}

function nothingToKeepFresh(scheme: string): EvergrantError {
  return new EvergrantError('invalid_request', `freshness: there is nothing to renew with ${scheme}.`, {
    remedy: 'Leave freshness out.',
  });
}

function noCredentials({ id }: GrantRecord): EvergrantError {
  return new EvergrantError('invalid_request', 'credentials: this grant has refresh tokens instead.', {
    remedy: `A person renews it: evergrant grants renew ${id}`,
    grant: id,
  });
}
