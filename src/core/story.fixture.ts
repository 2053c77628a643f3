/** The life of one chain, told in seconds and in the order it happens; for tests. */
import {
  apply,
  type Chain,
  type ChainEventWithoutAnswer,
  type Deferral,
  EMPTY_CHAIN,
  type LossReason,
} from './chain.ts';
import type { Announcement } from './chain-event.ts';
import type { Diagnosis, Meaning } from './diagnosis.ts';
import type { LinkId } from './id.ts';
import type { Instant, Moment } from './instant.ts';
import { nextStep } from './next-step.ts';
import type { RotationPolicy } from './rotation-policy.ts';
import type { Fingerprint } from './secret.ts';

export const moment = (seconds: number, boot = 'b'): Moment => ({
  at: (seconds * 1000) as Instant,
  boot,
  uptimeMs: seconds * 1000,
});
export const said = { status: 400, error: 'e', description: 'd' };

/** The sequence follows the exchanges that were started. */
export class Story {
  chain: Chain = EMPTY_CHAIN;
  readonly #sequences = new Map<string, number>();

  authorized(id: string, s: number, by: 'code' | 'import' = 'code'): this {
    return this.#add({ type: 'authorized', at: moment(s), by, link: this.#link(id, s) });
  }
  started(id: string, presented: string, s: number): this {
    this.#sequences.set(id, this.chain.nextSequence);
    const attempt = { id: id as LinkId, presented: presented as LinkId, node: 'n', run: 'r' };
    return this.#add({ type: 'started', at: moment(s), ...attempt });
  }
  received(id: string, parent: string, s: number): this {
    const sequence = this.#sequences.get(id) ?? 0;
    return this.#add({ type: 'received', at: moment(s), link: this.#link(id, s), parent: parent as LinkId, sequence });
  }
  /** The same refresh token goes on: the answer names none. */
  extended(id: string, parent: string, s: number): this {
    this.started(id, parent, s);
    const link = { ...this.#link(id, s), fingerprint: null };
    const sequence = this.#sequences.get(id) ?? 0;
    return this.#add({ type: 'received', at: moment(s), link, parent: parent as LinkId, sequence }).published(id, s);
  }
  published(id: string, s: number): this {
    return this.#add({ type: 'published', at: moment(s), link: id as LinkId });
  }
  proven(id: string, s: number): this {
    return this.#add({ type: 'proven', at: moment(s), link: id as LinkId });
  }
  lost(id: string, s: number, reason: LossReason = 'no_answer'): this {
    return this.#add({ type: 'lost', at: moment(s), id: id as LinkId, reason, said: null });
  }
  /** Its node is gone: the answer may lie in the journal there. */
  unread(id: string, s: number): this {
    return this.#add({ type: 'lost', at: moment(s), id: id as LinkId, reason: 'crash', said: null, isUnread: true });
  }
  refused(id: string, s: number, means: Meaning): this {
    return this.#add({ type: 'refused', at: moment(s), id: id as LinkId, means, said });
  }
  deferred(s: number, forMs: number, why: Deferral['why'] = 'upstream_unavailable'): this {
    return this.#add({ type: 'deferred', at: moment(s), deferral: { why, forMs, said: null } });
  }
  broken(s: number, diagnosis: Diagnosis): this {
    return this.#add({ type: 'broken', at: moment(s), diagnosis });
  }
  announced(s: number, announcement: Announcement): this {
    return this.#add({ type: 'announced', at: moment(s), announcement });
  }
  /** After a restore, a journal was given up. */
  abandoned(s: number): this {
    return this.#add({ type: 'abandoned', at: moment(s), node: 'node-2' });
  }
  /** One exchange that goes well and is published; `proves`: the API takes the access token. */
  exchanged(id: string, parent: string, s: number, proves = true): this {
    this.started(id, parent, s).received(id, parent, s).published(id, s);
    return proves ? this.proven(id, s) : this;
  }
  /** Presented, and refused at once. */
  presented(id: string, parent: string, s: number, means: Meaning): this {
    return this.started(id, parent, s).refused(id, s, means);
  }

  /** Another one that goes on from here. */
  copy(): Story {
    const other = new Story();
    other.chain = this.chain;
    return other;
  }

  next(policy: RotationPolicy, s: number, boot?: string) {
    return nextStep(this.chain, policy, moment(s, boot));
  }

  #link(id: string, s: number) {
    return {
      id: id as LinkId,
      fingerprint: `fp-${id}` as Fingerprint,
      node: 'n',
      requestedAt: moment(s),
      receivedAt: moment(s),
      accessTokenLifeMs: 600_000,
      scope: null,
    };
  }
  #add(event: ChainEventWithoutAnswer): this {
    this.chain = apply(this.chain, event);
    return this;
  }
}
