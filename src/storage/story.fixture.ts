/** What happens to the chains of the store's tests: events by the names of the links that they are about. */
import type { ChainEvent, Deferral } from '../core/chain.ts';
import type { GrantId, LinkId } from '../core/id.ts';
import type { Instant, Moment } from '../core/instant.ts';
import type { Fingerprint, Sealed } from '../core/secret.ts';
import type { NodeRun } from '../ports/store.ts';

export const GRANT: GrantId = 'grt_01';
export const OTHER: GrantId = 'grt_02';
/** The run that starts every exchange here. */
export const ME: NodeRun = { id: 'node-1', run: 'run' };

/** A moment so many seconds into the test. */
export function at(second: number): Moment {
  return { at: (1_700_000_000_000 + second * 1000) as Instant, boot: 'boot', uptimeMs: second * 1000 };
}

export function linkNamed(name: string): LinkId {
  return `lnk_${name}`;
}

export function fingerprintOf(name: string): Fingerprint {
  return `fingerprint of ${name}` as Fingerprint;
}

export function sealedAnswer(name: string): Sealed {
  return `sealed answer of ${name}` as Sealed;
}

/** The link that an answer makes. */
function received(name: string) {
  return {
    id: linkNamed(name),
    fingerprint: fingerprintOf(name),
    node: ME.id,
    requestedAt: at(0),
    receivedAt: at(1),
    accessTokenLifeMs: 600_000,
    scope: null,
  };
}

export function authorized(name: string): ChainEvent {
  return { type: 'authorized', at: at(1), link: received(name), answer: sealedAnswer(name), by: 'code' };
}

export function started(name: string, presented: string): ChainEvent {
  return {
    type: 'started',
    at: at(2),
    id: linkNamed(name),
    presented: linkNamed(presented),
    node: ME.id,
    run: ME.run,
  };
}

/** The answer to the exchange that was the `sequence`th to be started. */
export function answered(name: string, parent: string, sequence = 2): ChainEvent {
  const common = { at: at(3), parent: linkNamed(parent), sequence, answer: sealedAnswer(name) };
  return { type: 'received', link: received(name), ...common };
}

export function published(name: string): ChainEvent {
  return { type: 'published', at: at(4), link: linkNamed(name) };
}

export function deferred(why: Deferral['why']): ChainEvent {
  return { type: 'deferred', at: at(5), deferral: { why, forMs: 1000, said: null } };
}

export const ENDED: ChainEvent = { type: 'ended', at: at(9) };
