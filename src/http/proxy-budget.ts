/**
 * What is left of a provider's limits, as its answers tell, for all callers together. A request that would go beyond is
 * refused here, with the time to wait, and never sent.
 *
 * A window (a minute, a day): unknown (no answer yet) → counted (limit and end are known) → over (its end has passed: the
 * limit is known, its next end is not). One that begins beside others of its app is over at once: their limit is taken for
 * its own until an answer says so. What others use beside us is learned from the difference to our own count.
 */
import type { ApiLimits } from '../catalogue/provider.ts';
import type { Instant } from '../core/instant.ts';
import type { GrantApi } from '../keeper/keeper.ts';
import { retryAfterMs as readRetryAfter } from '../oauth/retry-after.ts';
import { type AnswerHeaders, textOf } from './proxy-headers.ts';

export interface Refusal {
  readonly retryAfterMs: number;
  /** Ends the sentence "… is used up". */
  readonly limit: string;
}

/** One request that counts. */
export interface Spent {
  answered(status: number, headers: AnswerHeaders, now: Instant): void;
  /** No answer came. */
  lost(): void;
}

/** For a minute's limit whose answer names no end. Seen at Exact Online, 2019 and later. */
const USUAL_WAIT_MS = 60_000;
/** How long `Retry-After` keeps requests back at most, before one may try whether it still holds. */
const LONGEST_WAIT_MS = 300_000;
/** Two ends that lie closer together are one. */
const SAME_END_MS = 2_000;
/** Buckets without anything under way are forgotten beyond so many. */
const MOST_BUCKETS = 10_000;

interface Window {
  limit: number;
  /** How many had been sent when it began. */
  base: number;
  /** Used by others, at least. */
  foreign: number;
  /** Null: over, and the next end is not known yet. */
  endsAt: number | null;
}

interface Errors {
  count: number;
  endsAt: number;
}

class Bucket {
  sent = 0;
  underWay = 0;
  blockedUntil = 0;
  readonly windows = new Map<string, Window>();
}

export class Budgets {
  readonly #buckets = new Map<string, Bucket>();
  readonly #errors = new Map<string, Errors>();
  /** The limits that answers told last, by app and window. */
  readonly #told = new Map<string, Map<string, number>>();

  /** Takes one request out of its budget, or says why it must wait. */
  take(api: GrantApi, rest: string, now: Instant): Spent | Refusal {
    const bucket = this.#bucket(api, rest);
    const errorKey = api.limits?.errors ? errorKeyOf(api, rest) : null;
    const refusal =
      blocked(bucket, now) ??
      usedUp(bucket, now) ??
      (errorKey === null ? null : this.#tooManyErrors(api, errorKey, now));
    if (refusal) return refusal;
    bucket.sent++;
    bucket.underWay++;
    return {
      answered: (status, headers, at) => {
        if (api.limits) for (const said of windowsIn(headers, at)) this.#learn(api, bucket, said, at);
        bucket.underWay--;
        if (status === 429) block(bucket, api.limits ?? null, headers, at);
        if (errorKey !== null) this.#countError(api, errorKey, status, at);
      },
      lost: () => {
        bucket.underWay--;
      },
    };
  }

  #bucket(api: GrantApi, rest: string): Bucket {
    const key = keyOf(api, rest);
    const known = this.#buckets.get(key);
    if (known) return known;
    if (this.#buckets.size >= MOST_BUCKETS) this.#forgetOldest();
    const bucket = new Bucket();
    // The grant's own key: paths of no company, of whose limits answers may never tell.
    const told = key === api.grant ? undefined : this.#told.get(api.registration);
    for (const [name, limit] of told ?? []) bucket.windows.set(name, { limit, base: 0, foreign: 0, endsAt: null });
    this.#buckets.set(key, bucket);
    return bucket;
  }

  #learn(api: GrantApi, bucket: Bucket, said: SaidWindow, now: Instant): void {
    const told = this.#told.get(api.registration) ?? new Map<string, number>();
    this.#told.set(api.registration, told.set(said.name, said.limit));
    learn(bucket, said, now);
  }

  #forgetOldest(): void {
    for (const [key, bucket] of this.#buckets) {
      if (bucket.underWay > 0) continue;
      this.#buckets.delete(key);
      return;
    }
  }

  #tooManyErrors(api: GrantApi, key: string, now: Instant): Refusal | null {
    const errors = this.#errors.get(key);
    const most = api.limits?.errors?.most ?? Number.POSITIVE_INFINITY;
    if (!errors || now >= errors.endsAt || errors.count < most) return null;
    return { retryAfterMs: errors.endsAt - now, limit: `the provider's limit of ${most} errors of one endpoint` };
  }

  #countError(api: GrantApi, key: string, status: number, now: Instant): void {
    const limit = api.limits?.errors;
    if (!limit?.statuses.includes(status)) return;
    const known = this.#errors.get(key);
    if (known && now < known.endsAt) {
      known.count++;
      return;
    }
    if (this.#errors.size >= MOST_BUCKETS) this.#errors.clear();
    this.#errors.set(key, { count: 1, endsAt: now + limit.windowMs });
  }
}

/** Where nothing is known of what grants share, each is on its own. */
function keyOf(api: GrantApi, rest: string): string {
  const part = api.limits ? partOf(api.limits, rest) : null;
  return part === null ? api.grant : `${api.registration}|${part}`;
}

/** The same for all spellings of a path that a provider may read alike, so that no caller gets past a limit by another one. */
function plainPath(rest: string): string {
  const text = rest.includes('%') ? decoded(rest) : rest;
  return text
    .toLowerCase()
    .replaceAll(/\/0+(?=\d+(?:\/|$))/g, '/')
    .replace(/[;/]+$/, '');
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The part of the path that has limits of its own: at Exact Online the company (division). */
function partOf({ by }: ApiLimits, rest: string): string | null {
  const wanted = by.toLowerCase().split('/');
  const given = plainPath(rest).split('/');
  let part: string | null = null;
  for (const [i, word] of wanted.entries()) {
    if (word.startsWith('{')) part = given[i] ?? null;
    else if (given[i] !== word) return null;
  }
  // A word such as `current` stands for the company that the account is in, which is not known here.
  return part !== null && /^\d+$/.test(part) ? part : null;
}

/** An endpoint is a path without its keys: `…/Accounts(guid'…')` and `…/Accounts` are one. */
function errorKeyOf(api: GrantApi, rest: string): string {
  return `${api.grant}|${plainPath(rest.replace(/(?:\(|%28).*$/i, ''))}`;
}

function blocked(bucket: Bucket, now: Instant): Refusal | null {
  if (now >= bucket.blockedUntil) return null;
  return { retryAfterMs: bucket.blockedUntil - now, limit: 'what the provider allows for now' };
}

function usedUp(bucket: Bucket, now: Instant): Refusal | null {
  for (const [name, window] of bucket.windows) {
    if (window.endsAt !== null && now >= window.endsAt) {
      window.endsAt = null;
      window.base = bucket.sent - bucket.underWay;
      window.foreign = 0;
    }
    const left = window.limit - (bucket.sent - window.base) - window.foreign;
    // Nobody knows when it ends, and nothing is under way that would tell: one goes and finds out.
    if (left > 0 || (window.endsAt === null && bucket.underWay === 0)) continue;
    const retryAfterMs = window.endsAt === null ? 1_000 : window.endsAt - now;
    return { retryAfterMs, limit: `the provider's limit of ${window.limit} requests a ${name}` };
  }
  return null;
}

interface SaidWindow {
  readonly name: string;
  readonly limit: number;
  readonly remaining: number;
  readonly endsAt: number;
}

/** `X-RateLimit-…` for the day and `X-RateLimit-Minutely-…`, as Exact Online sends them. */
function windowsIn(headers: AnswerHeaders, now: Instant): readonly SaidWindow[] {
  return [...windowIn(headers, 'minute', 'x-ratelimit-minutely', now), ...windowIn(headers, 'day', 'x-ratelimit', now)];
}

function windowIn(headers: AnswerHeaders, name: string, prefix: string, now: Instant): readonly SaidWindow[] {
  const [limit, remaining, reset] = ['limit', 'remaining', 'reset'].map((part) =>
    numberIn(headers, `${prefix}-${part}`),
  );
  // Of a limit that was not the reason of a refusal, zeros are sent.
  if (!limit || remaining === undefined || !reset) return [];
  return [{ name, limit, remaining, endsAt: endOf(reset, now) }];
}

function numberIn(headers: AnswerHeaders, name: string): number | undefined {
  const text = textOf(headers[name]);
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** Milliseconds or seconds since the epoch, or seconds from now. */
function endOf(reset: number, now: Instant): number {
  if (reset > 1e12) return reset;
  return reset > 1e9 ? reset * 1000 : now + reset * 1000;
}

function learn(bucket: Bucket, said: SaidWindow, now: Instant): void {
  if (said.endsAt <= now) return;
  const window = bucket.windows.get(said.name) ?? { limit: said.limit, base: 0, foreign: 0, endsAt: null };
  if (window.endsAt !== null && said.endsAt < window.endsAt - SAME_END_MS) return;
  if (window.endsAt !== null && said.endsAt > window.endsAt + SAME_END_MS) {
    window.base = bucket.sent - bucket.underWay;
    window.foreign = 0;
  }
  window.limit = said.limit;
  window.endsAt = said.endsAt;
  const used = bucket.sent - window.base;
  window.foreign = Math.max(window.foreign, said.limit - said.remaining - used);
  bucket.windows.set(said.name, window);
}

/** The provider said no. Where its windows tell until when, they do the rest. */
function block(bucket: Bucket, limits: ApiLimits | null, headers: AnswerHeaders, now: Instant): void {
  const waitMs =
    readRetryAfter(textOf(headers['retry-after']), now) ?? (limits && usedUp(bucket, now) === null ? USUAL_WAIT_MS : 0);
  bucket.blockedUntil = Math.max(bucket.blockedUntil, now + Math.min(waitMs, LONGEST_WAIT_MS));
}
