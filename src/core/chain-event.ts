/** What happens to a chain: the events that `core/chain` folds, and that the history shows. */
import type { Diagnosis, Meaning, Said } from './diagnosis.ts';
import type { LinkId, NodeId } from './id.ts';
import type { Instant, Moment } from './instant.ts';
import type { Deferral, Hold, LossReason } from './link.ts';
import type { Fingerprint, Sealed } from './secret.ts';

/** What an answer told, as far as it is no secret. */
export interface ReceivedLink {
  readonly id: LinkId;
  /** Null where the answer named no refresh token: the one that was presented goes on. */
  readonly fingerprint: Fingerprint | null;
  readonly node: NodeId;
  readonly requestedAt: Moment;
  readonly receivedAt: Moment;
  readonly accessTokenLifeMs: number | null;
  readonly scope: string | null;
}

/** That the authorization ends, and only a person can prevent it, was told ahead. */
export interface Announcement {
  readonly endsAt: Instant;
  /** How long before the end it was due, in milliseconds. */
  readonly leadMs: number;
}

export type ChainEvent =
  /** A person (or recovery, or an import) gave a new chain. */
  | {
      readonly type: 'authorized';
      readonly at: Moment;
      readonly link: ReceivedLink & { readonly fingerprint: Fingerprint };
      readonly answer: Sealed;
      readonly by: 'code' | 'import';
    }
  /** About to send. Appended under the version it was decided on: the claim, the intent record and the fence in one. */
  | {
      readonly type: 'started';
      readonly at: Moment;
      readonly id: LinkId;
      readonly presented: LinkId;
      readonly node: NodeId;
      readonly run: string;
    }
  /** As a journal tells: this was sent in a time that the store has forgotten, and its answer is not known here. */
  | {
      readonly type: 'recalled';
      readonly at: Moment;
      readonly id: LinkId;
      readonly presented: LinkId;
      readonly sequence: number;
      readonly node: NodeId;
      readonly run: string;
      readonly startedAt: Moment;
    }
  /** It is sure that the request never left. */
  | { readonly type: 'not_sent'; readonly at: Moment; readonly id: LinkId; readonly reason: string }
  /** It is sure that no answer will come. */
  | {
      readonly type: 'lost';
      readonly at: Moment;
      readonly id: LinkId;
      readonly reason: LossReason;
      readonly said: Said | null;
      readonly isUnread?: true;
    }
  /** Nothing is presented from here on, until `consulted` or `released`. */
  | { readonly type: 'held'; readonly at: Moment; readonly why: Hold['why']; readonly node: NodeId | null }
  /** The journal of this node was merged, or an operator gave it up: its attempts have no answer that is not here. */
  | { readonly type: 'consulted'; readonly at: Moment; readonly node: NodeId }
  /** After a restore the journal of this node was given up: what only it knew is lost. */
  | { readonly type: 'abandoned'; readonly at: Moment; readonly node: NodeId }
  /** After a restore, every journal was merged or given up. */
  | { readonly type: 'released'; readonly at: Moment }
  | {
      readonly type: 'received';
      readonly at: Moment;
      readonly link: ReceivedLink;
      readonly parent: LinkId;
      /** The sequence of its attempt, which the chain may have let go by now. */
      readonly sequence: number;
      readonly answer: Sealed;
    }
  /** The provider said no to this attempt. */
  | { readonly type: 'refused'; readonly at: Moment; readonly id: LinkId; readonly means: Meaning; readonly said: Said }
  | { readonly type: 'published'; readonly at: Moment; readonly link: LinkId }
  /** The provider's API accepted the access token of this link. */
  | { readonly type: 'proven'; readonly at: Moment; readonly link: LinkId }
  | { readonly type: 'deferred'; readonly at: Moment; readonly deferral: Omit<Deferral, 'since' | 'count'> }
  /** What held exchanges back was put right by an operator. */
  | { readonly type: 'resumed'; readonly at: Moment }
  /** The end of the authorization was announced. */
  | { readonly type: 'announced'; readonly at: Moment; readonly announcement: Announcement }
  /** What is kept of this link is not what was received, and no other copy is left. */
  | { readonly type: 'damaged'; readonly at: Moment; readonly link: LinkId }
  | { readonly type: 'broken'; readonly at: Moment; readonly diagnosis: Diagnosis }
  | { readonly type: 'ended'; readonly at: Moment };

/** An event as the history shows it: without the sealed answer. */
export interface RecordedEvent {
  readonly version: number;
  readonly event: ChainEventWithoutAnswer;
}

type WithoutAnswer<E> = E extends { readonly answer: Sealed } ? Omit<E, 'answer'> : E;
export type ChainEventWithoutAnswer = WithoutAnswer<ChainEvent>;
