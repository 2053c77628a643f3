/**
 * What a chain is made of, as it is remembered: links, the attempts to get the next one, refusals, and why nothing is
 * sent. No token is in here; `core/chain` folds events into these.
 */
import type { Meaning, Said } from './diagnosis.ts';
import type { LinkId, NodeId } from './id.ts';
import type { Moment } from './instant.ts';
import type { Fingerprint } from './secret.ts';

/** One answer that gave tokens: a link of the chain. */
export interface Link {
  /** The exchange or authorization that gave it. */
  readonly id: LinkId;
  /** Counts authorizations of the grant, from 1. */
  readonly generation: number;
  /** Counts refresh tokens from the authorization on, which is 0. Two answers to one token share a counter. */
  readonly counter: number;
  /** Order in which exchanges were started; a later answer to an earlier exchange keeps its place. */
  readonly sequence: number;
  /** The link whose refresh token was presented for this one; null for the link of an authorization. */
  readonly parent: LinkId | null;
  /** The link whose answer holds the refresh token: this one, unless its answer named none (RFC 6749 section 6). */
  readonly tokenOf: LinkId;
  readonly fingerprint: Fingerprint;
  readonly node: NodeId;
  readonly requestedAt: Moment;
  readonly receivedAt: Moment;
  /** Life of the access token from `requestedAt` on; null where the answer had no access token. */
  readonly accessTokenLifeMs: number | null;
  readonly scope: string | null;
  /**
   * received: durable here, not seen by anyone. published: its access token may have been used. proven: the provider
   * accepted its refresh token, or its access token where the policy counts that as use.
   */
  readonly status: 'received' | 'published' | 'proven';
  /** Presentations of its refresh token that may have reached the provider, since it was last given. */
  readonly uses: number;
  readonly firstUsedAt: Moment | null;
  /** Set once the provider said that its refresh token is dead. */
  readonly refusal: Refusal | null;
  /** What lay between it and the links before it was forgotten by a restored store: any of them may be its parent. */
  readonly isAfterGap?: true;
  /** Set once its answer could not be opened any more: what was kept of it is lost here, whatever it is worth elsewhere. */
  readonly damagedAt?: Moment;
}

export interface Refusal {
  readonly means: Meaning;
  readonly said: Said;
  readonly at: Moment;
  /** How often its token was refused; not there: once. */
  readonly times?: number;
}

/** A refusal as the chain remembers it, also of the kinds that leave the token alive. */
export interface PastRefusal extends Refusal {
  /** The first of several of one kind in a row; `at` is the last. */
  readonly since: Moment;
  /** When the first of their requests was sent; left out where that was not kept yet. */
  readonly sentAt?: Moment;
  /** Of the token that was presented. */
  readonly counter: number;
  /** Time between the newest tokens that were received here and `since`, at least. */
  readonly afterAnswerMs: number;
}

/** One request to the token endpoint, from before it was sent until its answer is kept. */
export interface Attempt {
  /** Also the id of the link it will give. */
  readonly id: LinkId;
  /** The link whose token is presented (a `tokenOf`). */
  readonly presented: LinkId;
  readonly sequence: number;
  readonly node: NodeId;
  /** Names one run of one process: an attempt of a run that is over cannot be answered any more. */
  readonly run: string;
  readonly startedAt: Moment;
  /** Set when it is sure that no answer will come here: it may or may not have been processed. */
  readonly lost: Loss | null;
  /** The store had forgotten it, and a journal told of it. */
  readonly isRecalled?: true;
}

export interface Loss {
  readonly at: Moment;
  readonly reason: LossReason;
  readonly said: Said | null;
  /**
   * Another node said so, because this attempt's node is gone: its answer may lie in the journal of that node, which
   * nobody has read since.
   */
  readonly isUnread?: true;
}

/**
 * Why nothing may be presented although the chain may be intact. journal: an answer may lie in the journal of a node that
 * is not here. restore: the store is older than what its nodes remember, and not all of them have brought theirs yet.
 */
export interface Hold {
  readonly why: 'journal' | 'restore';
  readonly since: Moment;
  /** Whose journal is waited for; null: of several. */
  readonly node: NodeId | null;
}

/**
 * The store was restored from an older backup, and the journal of a node was given up that may have had newer tokens than
 * the link with this sequence, the newest of then.
 */
export interface Gap {
  readonly at: Moment;
  readonly node: NodeId;
  readonly newest: number;
}

/** How an answer was lost. restore: the store that knew what became of it was restored from an older backup. */
export type LossReason = 'no_answer' | 'unreadable_answer' | 'server_error' | 'crash' | 'restore';

/** Why nothing is sent for a while although the chain is intact. */
export interface Deferral {
  readonly why:
    | 'too_early'
    | 'throttled'
    | 'upstream_unavailable'
    | 'client_rejected'
    | 'upstream_fault'
    | 'storage_fault';
  readonly since: Moment;
  readonly forMs: number;
  /** How often in a row. */
  readonly count: number;
  readonly said: Said | null;
}
