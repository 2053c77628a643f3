/** What every file of the issuer works with. */
import { newId } from '../core/id.ts';
import type { ServingKeeper } from '../keeper/keeper.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Network } from '../ports/network.ts';
import type { Random } from '../ports/random.ts';
import type { Sealer } from '../ports/sealer.ts';
import type { Records, Store } from '../ports/store.ts';

export interface IssuerParts {
  readonly keeper: ServingKeeper;
  readonly records: Records;
  /** What other nodes do to them. */
  readonly changes: Pick<Store, 'watch' | 'heardAgoMs'>;
  readonly sealer: Sealer;
  /** For the keys of trusted issuers. */
  readonly network: Network;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Our own issuer identifier (RFC 8414). Without a slash at its end. */
  readonly publicUrl: string;
}

const CHANCE_BYTES = 16;
const SECRET_BYTES = 32;

/** A new identifier from the parts' clock and chance. */
export function freshId<P extends string>(parts: IssuerParts, prefix: P): `${P}_${string}` {
  return newId(prefix, parts.clock.now(), parts.random.bytes(CHANCE_BYTES));
}

/** 256 bits of chance, base64url. */
export function freshText(parts: IssuerParts): string {
  return Buffer.from(parts.random.bytes(SECRET_BYTES)).toString('base64url');
}
