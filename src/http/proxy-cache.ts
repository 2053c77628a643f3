/**
 * Answers to GET that the provider allows to be kept (RFC 9111), in memory, each for one grant: what one account sees is
 * nothing for another. It is a private cache in that sense, shared by all who may use the grant. Without a life that the
 * provider names, nothing is kept.
 */
import CachePolicy from 'http-cache-semantics';
import type { FastifyRequest } from 'fastify';
import type { GrantApi } from '../keeper/keeper.ts';
import type { Clock } from '../ports/clock.ts';
import type { RelayAnswer } from '../ports/relay.ts';
import type { AnswerHeaders } from './proxy-headers.ts';
import type { Target } from './proxy-target.ts';

export interface Cached {
  readonly entry: Entry;
  readonly isFresh: boolean;
  readonly status: number;
  /** What the provider said with it. */
  readonly headers: AnswerHeaders;
  readonly body: Buffer;
  /** What to ask the provider with, once it is stale. */
  readonly conditions: Readonly<Record<string, string>>;
}

interface Entry {
  readonly policy: CachePolicy;
  readonly status: number;
  readonly body: Buffer;
}

interface Asked {
  readonly api: GrantApi;
  readonly target: Target;
  readonly request: FastifyRequest;
}

/** Of all that is kept, one answer may take such a share. */
const LARGEST_SHARE = 1 / 8;
/** For headers and the policy. */
const ENTRY_BYTES = 2_048;
const KEPT_STATUSES = new Set([200, 203, 404, 410]);
const CONDITIONS = ['if-none-match', 'if-modified-since'];
/** Of parts, or of a state that only the provider knows; and a GET with a body may mean anything. */
const NOT_OUR_BUSINESS = [
  'range',
  'if-range',
  'if-match',
  'if-unmodified-since',
  'content-length',
  'transfer-encoding',
];

export class ProxyCache {
  readonly #mostBytes: number;
  readonly #clock: Clock;
  /** The one that was used last stands last. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  constructor(mostBytes: number, clock: Clock) {
    this.#mostBytes = mostBytes;
    this.#clock = clock;
  }

  /** Null where nothing is kept for this request. */
  find(api: GrantApi, target: Target, request: FastifyRequest): Cached | null {
    const key = keyOf(api, target);
    const entry = request.method === 'GET' ? this.#entries.get(key) : undefined;
    if (!entry || hasOne(request, NOT_OUR_BUSINESS)) return null;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    const asked = policyRequest(target, request);
    if (entry.policy.satisfiesWithoutRevalidation(asked))
      return { entry, isFresh: true, ...shown(entry), conditions: {} };
    // A caller who asks about what it keeps itself would get our answer to its question, or its answer to ours.
    if (hasOne(request, CONDITIONS)) return null;
    const revalidation = entry.policy.revalidationHeaders(asked);
    const conditions = CONDITIONS.flatMap((name) => {
      const value = revalidation[name];
      return typeof value === 'string' ? [[name, value] as const] : [];
    });
    if (conditions.length === 0) return null;
    return { entry, isFresh: false, ...shown(entry), conditions: Object.fromEntries(conditions) };
  }

  /** The key of what this request has changed (RFC 9111 section 4.4); null: nothing. */
  outdatedBy({ api, target, request }: Asked, answer: RelayAnswer): string | null {
    const isSafe = ['GET', 'HEAD', 'OPTIONS'].includes(request.method);
    return isSafe || answer.status >= 400 ? null : keyOf(api, target);
  }

  /** Keeps an answer that is about to be read, if it may be kept. */
  keep({ api, target, request }: Asked, answer: RelayAnswer): void {
    if (request.method !== 'GET') return;
    const key = keyOf(api, target);
    if (hasOne(request, NOT_OUR_BUSINESS) || !KEPT_STATUSES.has(answer.status)) return;
    const policy = this.#policy(policyRequest(target, request), answer.status, answer.headers);
    if (!policy.storable() || policy.timeToLive() === 0) return;
    collect(answer, this.#mostBytes * LARGEST_SHARE, (body) => this.#put(key, { policy, status: answer.status, body }));
  }

  /** The provider says that what was found is still right (304). */
  renew(
    { api, target, request }: Asked,
    { entry }: Cached,
    said: AnswerHeaders,
  ): Pick<Cached, 'status' | 'headers' | 'body'> {
    const asked = policyRequest(target, request);
    const { policy, matches } = entry.policy.revalidatedPolicy(asked, { status: 304, headers: said });
    if (!matches) return shown(entry);
    const renewed = { ...entry, policy };
    const key = keyOf(api, target);
    // Another request may have put a newer one in its place.
    if (this.#entries.get(key) === entry) this.#put(key, renewed);
    return shown(renewed);
  }

  #policy(asked: CachePolicy.Request, status: number, headers: AnswerHeaders): CachePolicy {
    const clock = this.#clock;
    class Policy extends CachePolicy {
      now(): number {
        return clock.now();
      }
    }
    return new Policy(asked, { status, headers }, { shared: false, cacheHeuristic: 0 });
  }

  #put(key: string, entry: Entry): void {
    this.forget(key);
    this.#entries.set(key, entry);
    this.#bytes += sizeOf(entry);
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.#mostBytes) break;
      this.forget(oldest);
    }
  }

  forget(key: string): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    this.#entries.delete(key);
    this.#bytes -= sizeOf(entry);
  }
}

function keyOf({ grant }: GrantApi, { origin, path }: Target): string {
  return `${grant} ${origin}${path}`;
}

function hasOne({ headers }: FastifyRequest, names: readonly string[]): boolean {
  return names.some((name) => headers[name] !== undefined);
}

function sizeOf({ body }: Entry): number {
  return body.length + ENTRY_BYTES;
}

function shown({ policy, status, body }: Entry): Pick<Cached, 'status' | 'headers' | 'body'> {
  return { status, headers: { ...policy.responseHeaders(), 'content-length': String(body.length) }, body };
}

/** As the provider sees it: whose key the caller has makes no difference. */
function policyRequest(target: Target, { method, headers }: FastifyRequest): CachePolicy.Request {
  const { authorization: _, host: __, cookie: ___, ...rest } = headers;
  return { url: target.path, method, headers: rest };
}

/** Gives the whole body, once somebody else has read it to its end; nothing for one that is too large or breaks off. */
function collect({ body }: RelayAnswer, mostBytes: number, done: (body: Buffer) => void): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  body.watch({
    chunk(part) {
      bytes += part.length;
      if (bytes <= mostBytes) chunks.push(part);
      else chunks.length = 0;
    },
    end() {
      if (bytes <= mostBytes) done(Buffer.concat(chunks));
    },
  });
}
