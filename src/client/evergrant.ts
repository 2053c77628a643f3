/**
 * The package's entry `evergrant/client`, for programs in Node, browsers and workers: fresh access tokens of one grant,
 * and a `fetch` that carries them. It has no dependencies. All it keeps is one access token in memory: nothing to store,
 * nothing to renew, and no refresh token that could be read from it.
 *
 * A token: none → held (until its end by either clock, or until the provider refuses it) → none. Whoever asks while one
 * is on its way gets that one.
 */
import { base64url, type DpopKeyPair, dpopProof } from './dpop.ts';
import { EvergrantProblem, objectIn, textOf } from './problem.ts';
import { type ApiAnswer, NoAnswer, request } from './request.ts';
import { now, pause, uptime } from './time.ts';

export { EvergrantProblem } from './problem.ts';
export { NoAnswer } from './request.ts';

export type EvergrantOptions = Common & (WithApiKey | WithClient);

interface Common {
  /** Where Evergrant answers, as in `https://grants.example.com`. */
  readonly server: string;
  /** Seconds that a token must still live. The default is 5, or half the life of a token that lives no ten seconds. */
  readonly minTtl?: number;
  /** For how many seconds to go on asking a server that is away or says "later". The default is 60. */
  readonly patience?: number;
}

interface WithApiKey {
  readonly apiKey: string;
  /** Alias or id. */
  readonly grant: string;
}

/** A client of Evergrant's own OAuth endpoints. */
interface WithClient {
  readonly clientId: string;
  /** Left out by a public client. */
  readonly clientSecret?: string;
  /** Proves a key with each request (RFC 9449): for a client whose refresh tokens are bound to one. */
  readonly dpop?: DpopKeyPair;
  /** The durable one; without it, client credentials are used. */
  readonly refreshToken?: string;
  /** Alias; a client of one grant need not say which. */
  readonly grant?: string;
}

export interface TokenOptions {
  /** Seconds that it must still live. */
  readonly minTtl?: number;
}

export interface EvergrantClient {
  /** A token that lives: from memory, or fetched once for all who ask. Rejects with `EvergrantProblem` or `NoAnswer`. */
  readonly accessToken: (options?: TokenOptions) => Promise<string>;
  /** As the platform's, with the access token. Refused with 401, it tries once more where there is another token. */
  readonly fetch: (input: string | URL | Request, init?: RequestInit) => Promise<Response>;
}

/** Everything to use one grant: `const eol = evergrant({ server, grant: 'eol', apiKey })`. */
export function evergrant(options: EvergrantOptions): EvergrantClient {
  const tokens = new Tokens(options);
  return {
    accessToken: (wish) => tokens.get(wish?.minTtl),
    fetch: (input, init) => authorizedFetch(tokens, input, init),
  };
}

const USUAL_MIN_TTL_MS = 5_000;
const USUAL_PATIENCE_MS = 60_000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5_000;
/** The longest that the server itself makes a caller wait (30 s), and a little. */
const ANSWER_TIMEOUT_MS = 45_000;
/** A token of which nobody knows how long it lives is asked for again now and then. */
const UNKNOWN_LIFE_MS = 60_000;

interface Held {
  readonly token: string;
  /** Made once: an answer from memory costs no promise of its own. */
  readonly ready: Promise<string>;
  readonly lifeMs: number;
  /** By the wall clock, and by the one that nobody sets; the earlier end counts. */
  readonly endsAt: number;
  readonly endsAtUptime: number;
}

class Tokens {
  readonly #options: EvergrantOptions;
  #held: Held | null = null;
  #coming: Promise<void> | null = null;
  /** What the server wants in the next proof, where this clock is not right. */
  #nonce: string | null = null;

  constructor(options: EvergrantOptions) {
    this.#options = { ...options, server: options.server.replace(/\/+$/, '') };
  }

  get(minTtl = this.#options.minTtl): Promise<string> {
    const held = this.#held;
    return held && leftMs(held) >= neededMs(held, minTtl) ? held.ready : this.#fetched(minTtl);
  }

  /** Another token than one that was refused; null where there is none. */
  async insteadOf(refused: string): Promise<string | null> {
    if (this.#held?.token === refused) {
      this.#held = null;
      this.#coming ??= this.#ask(undefined, refused).finally(() => {
        this.#coming = null;
      });
    }
    const token = await this.get();
    return token === refused ? null : token;
  }

  async #fetched(minTtl: number | undefined): Promise<string> {
    while (this.#coming) {
      await this.#coming;
      if (this.#held && leftMs(this.#held) >= neededMs(this.#held, minTtl)) return this.#held.ready;
    }
    const before = this.#held;
    try {
      this.#coming = this.#ask(minTtl).finally(() => {
        this.#coming = null;
      });
      await this.#coming;
    } catch (cause) {
      // One that ends soon is better than none, unless somebody asked for more.
      if (minTtl === undefined && before && leftMs(before) > 0 && this.#held === before) return before.token;
      throw cause;
    }
    return this.#held?.token ?? this.#fetched(minTtl);
  }

  /** Asks until there is an answer that waiting would not change. */
  async #ask(minTtl: number | undefined, refused?: string): Promise<void> {
    const patienceEnds = uptime() + (this.#options.patience ?? USUAL_PATIENCE_MS / 1000) * 1000;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      const [at, atUptime] = [now(), uptime()];
      const answer = await attempt(await tokenRequest(this.#options, minTtl, refused, this.#nonce));
      if (!(answer instanceof Error) && answer.status === 200) {
        this.#held = heldOf(answer, at, atUptime);
        return;
      }
      const problem = answer instanceof Error ? answer : new EvergrantProblem(answer);
      if (!(answer instanceof Error) && this.#isNonceNew(problem, answer)) continue;
      const waitMs = waitAfter(problem, pauseMs);
      if (waitMs === null || uptime() + waitMs > patienceEnds) throw problem;
      await pause(waitMs);
    }
  }

  #isNonceNew(problem: Error, { headers }: ApiAnswer): boolean {
    const nonce = headers['dpop-nonce'] ?? this.#nonce;
    if (!(problem instanceof EvergrantProblem) || problem.code !== 'use_dpop_nonce' || nonce === this.#nonce)
      return false;
    this.#nonce = nonce;
    return true;
  }
}

function neededMs(held: Held, minTtl: number | undefined): number {
  return minTtl === undefined ? Math.min(USUAL_MIN_TTL_MS, held.lifeMs / 2) : minTtl * 1000;
}

function leftMs(held: Held): number {
  return Math.min(held.endsAt - now(), held.endsAtUptime - uptime());
}

/** Its life counts from before it was asked for: so the end is never believed to be later than it is. */
function heldOf(answer: ApiAnswer, at: number, atUptime: number): Held {
  const said = objectIn(answer.body);
  const token = textOf(said.access_token);
  if (token === null) throw new EvergrantProblem(answer);
  const lifeMs = typeof said.expires_in === 'number' ? said.expires_in * 1000 : UNKNOWN_LIFE_MS;
  return { token, ready: Promise.resolve(token), lifeMs, endsAt: at + lifeMs, endsAtUptime: atUptime + lifeMs };
}

/** Null: asking again changes nothing. */
function waitAfter(problem: NoAnswer | EvergrantProblem, pauseMs: number): number | null {
  if (problem instanceof NoAnswer) return pauseMs;
  if (problem.status !== 503 && problem.status !== 429 && problem.status !== 502 && problem.status !== 504) return null;
  return problem.retryAfter === null ? pauseMs : problem.retryAfter * 1000;
}

async function attempt(wanted: Parameters<typeof request>[0]): Promise<ApiAnswer | NoAnswer> {
  try {
    return await request(wanted);
  } catch (cause) {
    if (cause instanceof NoAnswer) return cause;
    throw cause;
  }
}

async function tokenRequest(
  options: EvergrantOptions,
  minTtl: number | undefined,
  refused: string | undefined,
  nonce: string | null,
) {
  const common = { origin: options.server, method: 'POST', timeoutMs: ANSWER_TIMEOUT_MS } as const;
  if ('apiKey' in options) {
    const rejected = refused === undefined ? null : await digest(refused);
    const wish = { ...(minTtl === undefined ? {} : { min_ttl: minTtl }), ...(rejected === null ? {} : { rejected }) };
    return {
      ...common,
      path: `/v1/grants/${encodeURIComponent(options.grant)}/token`,
      headers: { authorization: `Bearer ${options.apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify(wish),
    };
  }
  const { clientId, clientSecret, dpop, server } = options;
  const path = '/oauth/token';
  return {
    ...common,
    path,
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      ...(clientSecret === undefined ? {} : { authorization: basic(clientId, clientSecret) }),
      ...(dpop === undefined ? {} : { dpop: await dpopProof(dpop, server + path, nonce) }),
    },
    body: String(new URLSearchParams(form(options))),
  };
}

/** RFC 6749 sections 4.4.2 and 6; `audience` as in RFC 8693. */
function form({ clientId, clientSecret, refreshToken, grant }: WithClient): Record<string, string> {
  return {
    ...(refreshToken === undefined
      ? { grant_type: 'client_credentials' }
      : { grant_type: 'refresh_token', refresh_token: refreshToken }),
    ...(clientSecret === undefined ? { client_id: clientId } : {}),
    ...(grant === undefined ? {} : { audience: grant }),
  };
}

/** RFC 6749 section 2.3.1: both are form-encoded first. */
function basic(clientId: string, clientSecret: string): string {
  return `Basic ${btoa(`${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`)}`;
}

/** base64url of the SHA-256; null where the page has no secure context, and so no digests. */
async function digest(text: string): Promise<string | null> {
  if (!globalThis.crypto?.subtle) return null;
  const bytes = await globalThis.crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return base64url(new Uint8Array(bytes));
}

async function authorizedFetch(tokens: Tokens, input: string | URL | Request, init?: RequestInit): Promise<Response> {
  const token = await tokens.get();
  const canRepeat = isRepeatable(input, init);
  const answer = await fetch(input, withToken(input, init, token));
  if (answer.status !== 401 || !canRepeat) return answer;
  // Whatever goes wrong now, the answer of the API is there.
  const other = await tokens.insteadOf(token).catch(() => null);
  if (other === null) return answer;
  await answer.body?.cancel();
  return fetch(input, withToken(input, init, other));
}

function withToken(input: string | URL | Request, init: RequestInit | undefined, token: string): RequestInit {
  const headers = new Headers(init?.headers ?? (input instanceof Request ? input.headers : undefined));
  headers.set('authorization', `Bearer ${token}`);
  return { ...init, headers };
}

/** A stream can be read once. */
function isRepeatable(input: string | URL | Request, init: RequestInit | undefined): boolean {
  if (input instanceof Request && input.body !== null) return false;
  return (
    !(init?.body instanceof ReadableStream) &&
    !(typeof init?.body === 'object' && Symbol.asyncIterator in (init.body ?? {}))
  );
}
