/**
 * What truly happened to one chain, as nobody in the simulation can know it: which tokens were made, which arrived, who
 * tried what and when. Judges and the oracle read it.
 */
import type { GrantId, LinkId } from '../core/id.ts';
import type { Fault, Injury } from './faults.ts';
import type { Life } from './life.ts';

export interface TokenTruth {
  readonly token: string;
  /** The refresh token that was presented for it; null for the first. */
  readonly parent: string | null;
  readonly issuedAt: number;
  /** When the request left that gave it. */
  readonly sentAt: number;
  deliveredAt: number | null;
  /** The run that has it in memory. */
  life: Life | null;
  node: string | null;
  link: LinkId | null;
  /** Its bytes were durable once, in the journal or in the store. */
  wasKept: boolean;
  /** The place of its exchange in the chain. */
  sequence: number;
  /** The simulation destroyed every copy of it. */
  isDestroyed?: true;
}

/** What was last heard of presentations. */
type Answers = Pick<ChainTruth, 'unansweredSince' | 'lastAnsweredAt'>;

export interface Span {
  readonly from: number;
  to: number;
}

const KEPT = 48;
const SPANS_KEPT = 256;

/** Opens or ends the last span, as something is so now or not. */
export function note(spans: Span[], isSo: boolean, now: number): void {
  const last = spans.at(-1);
  const isOpen = last?.to === Number.POSITIVE_INFINITY;
  if (isSo && !isOpen) spans.push({ from: now, to: Number.POSITIVE_INFINITY });
  if (!isSo && last && isOpen) last.to = now;
  if (spans.length > 2 * SPANS_KEPT) spans.splice(0, SPANS_KEPT);
}

export class ChainTruth {
  readonly account: string;
  grant: GrantId | null = null;
  alias = '';
  readonly tokens: TokenTruth[] = [];
  /** From a try's beginning to its end: connecting, sending, waiting for the answer. */
  readonly tries: Span[] = [];
  /** When which refresh token was sent, but for those that were refused. */
  readonly presentations: { readonly token: string; readonly at: number }[] = [];
  /** What struck this chain alone. */
  readonly injuries: Injury[] = [];
  /** How it was ended from outside, if it was. */
  endedBy: Fault | null = null;
  /** Every copy of what it had received last was destroyed by the simulation, and nothing newer came since. */
  destroyedAt: number | null = null;
  /** The provider went back to a backup of itself, and has given nothing since that was kept. */
  forgottenAt: number | null = null;
  /** The store last went back to a backup: what was sent before, it may have forgotten. */
  restoredAt: number | null = null;
  isOver = false;
  started = 0;
  sent = 0;
  /** The node that presented a token last. */
  sender = '';
  /** The runs whose exchanges are on the wire now. */
  readonly onWire: string[] = [];
  lastPublished = 0;
  /** Answers that arrived and are not sealed yet, by run. */
  arriving: TokenTruth | null = null;
  /** When the first of the presentations left that have had no answer; null when the last one was answered. */
  unansweredSince: number | null = null;
  lastAnsweredAt = 0;
  /** From the record of the first of those to its departure. A keeper counts from the record. */
  heldUpMs = 0;
  /** How these two were before the last answer, until that is in the store. */
  #before: (Answers & { readonly token: TokenTruth }) | null = null;
  /** An exchange that was recorded, and has not left yet. */
  recorded: { readonly attempt: LinkId; readonly at: number } | null = null;

  constructor(account: string, first: { readonly refreshToken: string }, now: number) {
    this.account = account;
    this.tokens.push({
      token: first.refreshToken,
      parent: null,
      issuedAt: now,
      sentAt: now,
      deliveredAt: now,
      life: null,
      node: null,
      link: null,
      wasKept: true,
      sequence: 0,
    });
    this.lastAnsweredAt = now;
  }

  issued(token: string, parent: string, issuedAt: number, sentAt: number): TokenTruth {
    const made: TokenTruth = {
      token,
      parent,
      issuedAt,
      sentAt,
      deliveredAt: null,
      life: null,
      node: null,
      link: null,
      wasKept: false,
      sequence: 0,
    };
    this.tokens.push(made);
    if (this.tokens.length > 2 * KEPT) this.tokens.splice(0, KEPT);
    return made;
  }

  presented(token: string, at: number): void {
    this.presentations.push({ token, at });
    if (this.presentations.length > 4 * KEPT) this.presentations.splice(0, 2 * KEPT);
  }

  /** The provider did nothing with it, and said so. */
  presentedInVain(token: string, at: number): void {
    const found = this.presentations.findLastIndex((one) => one.token === token && one.at === at);
    if (found >= 0) this.presentations.splice(found, 1);
  }

  tried(from: number): Span {
    const span = { from, to: Number.POSITIVE_INFINITY };
    this.tries.push(span);
    if (this.tries.length > 4 * KEPT) this.tries.splice(0, 2 * KEPT);
    return span;
  }

  injured(at: number, fault: Fault): void {
    this.injuries.push({ at, fault });
    if (this.injuries.length > 4 * KEPT) this.injuries.splice(0, 2 * KEPT);
  }

  /** Tokens that were written down and are nowhere now were destroyed. */
  noticeDestroyed(isKept: (token: TokenTruth) => boolean, now: number): void {
    for (const token of this.tokens) {
      if (token.wasKept && !token.isDestroyed && !isKept(token)) token.isDestroyed = true;
    }
    if (this.tokens.findLast((one) => one.wasKept)?.isDestroyed) this.destroyedAt = now;
  }

  /** An answer was written down, in a journal first. */
  answeredWith(token: TokenTruth, now: number): void {
    const { unansweredSince, lastAnsweredAt } = this;
    this.#before = { unansweredSince, lastAnsweredAt, token };
    this.goneOnWith(token);
    this.unansweredSince = null;
    this.lastAnsweredAt = token.deliveredAt ?? now;
  }

  /** It is in the store: all can know of it. */
  stored(token: TokenTruth): void {
    if (this.#before?.token === token) this.#before = null;
  }

  /** What a node can know: nothing of an answer that lies in the journal of another one alone, be it gone or cut off. */
  heardBy(node: string): Answers {
    return this.#before && this.#before.token.node !== node ? this.#before : this;
  }

  /** A token was kept: what was destroyed or forgotten before it was made explains no loss any more. */
  goneOnWith({ issuedAt }: TokenTruth): void {
    if (this.destroyedAt !== null && issuedAt > this.destroyedAt) this.destroyedAt = null;
    if (this.forgottenAt !== null && issuedAt > this.forgottenAt) this.forgottenAt = null;
  }

  /** A store that was restored since may have forgotten that this was sent at all. */
  hasForgotten(sentAt: number): boolean {
    return this.restoredAt !== null && sentAt <= this.restoredAt;
  }

  /**
   * Whether a keeper can know that an answer was lost: the store has not forgotten that it asked, and not every request
   * whose answer was lost was delivered twice, so that another answer to it came ("too early").
   */
  knowsOfLoss(): boolean {
    const lost = this.tokens.slice(this.tokens.findLastIndex((one) => one.wasKept) + 1);
    if (this.hasForgotten(lost.at(-1)?.sentAt ?? 0)) return false;
    return !lost.every(({ sentAt }) =>
      this.injuries.some(({ fault, at }) => at === sentAt && fault === 'duplicate_delivery'),
    );
  }

  /** What it heard was the answer to the second of two deliveries, or the first came late. */
  wasDoubledSince(instant: number): boolean {
    return this.injuries.some(
      ({ fault, at }) => at >= instant && (fault === 'duplicate_delivery' || fault === 'request_late'),
    );
  }
}
