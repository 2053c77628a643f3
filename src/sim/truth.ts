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
}

export interface Span {
  readonly from: number;
  to: number;
}

const KEPT = 48;

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
  /** Copies of what it had received were destroyed by the simulation. */
  destroyedAt: number | null = null;
  /** The provider went back to a backup of itself. */
  forgottenAt: number | null = null;
  isOver = false;
  started = 0;
  sent = 0;
  /** The runs whose exchanges are on the wire now. */
  readonly onWire: string[] = [];
  lastPublished = 0;
  /** Answers that arrived and are not sealed yet, by run. */
  arriving: TokenTruth | null = null;
  /** When the first of the presentations left that have had no answer; null when the last one was answered. */
  unansweredSince: number | null = null;
  lastAnsweredAt = 0;
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
}
