/**
 * `/proxy/{grant}/…`: the provider's API with the grant's access token. Bodies are streamed in both directions, as fast
 * as the slower side reads. A refused token is looked into once, and the request repeated where its body can be; limits of
 * the provider are kept for all callers together. Nothing else is repeated but what a provider must bear twice (RFC 9110
 * section 9.2.2), no redirect is followed, and no connection is upgraded.
 */
import { hash } from 'node:crypto';
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { EvergrantError } from '../core/errors.ts';
import type { AccessToken } from '../core/secret.ts';
import type { GrantApi } from '../keeper/keeper.ts';
import type { RelayAnswer, RelayCaller } from '../ports/relay.ts';
import type { Arrivals } from './arrival.ts';
import type { Metrics } from './metrics.ts';
import type { HttpParts, Routes } from './parts.ts';
import { invalidRequest } from './problem.ts';
import { type Permit, permitFor, refuseCrossSite, stillMay } from './proxy-access.ts';
import type { Spent } from './proxy-budget.ts';
import { type Cached, ProxyCache } from './proxy-cache.ts';
import { answerHeaders, requestHeaders, textOf } from './proxy-headers.ts';
import { linkFor, locationFor, ownHosts } from './proxy-links.ts';
import { type ProxyAddress, readAddress, type Target, targetOf } from './proxy-target.ts';
import { UnderwayRequests } from './proxy-underway.ts';

/** Of the token that a request carries: it must not end on its way. */
const MIN_TTL_MS = 5_000;
/** For a token, where none is there. */
const WAIT_MS = 30_000;
/** A body of at most so many bytes is kept until the answer is here, so that the request can be repeated. */
const REPEATABLE_BYTES = 65_536;
/** Some programs send Basic credentials only when they are asked for them. */
const CHALLENGES = 'Bearer, Basic realm="evergrant", charset="UTF-8"';
/** What is under way when the server stops has so long to end. */
const GRACE_MS = 3_000;
/** RFC 9110 section 9.2.1: asking again changes nothing. */
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);

interface Exchange {
  readonly request: FastifyRequest;
  readonly name: string;
  readonly address: ProxyAddress;
  readonly api: GrantApi;
  readonly target: Target;
  readonly body: FastifyRequest['raw'] | Uint8Array | null;
  readonly caller: RelayCaller;
}

/** Who waits for an answer. */
interface Waiting extends RelayCaller {
  /** Takes the request out of what is under way. */
  done: (() => void) | null;
}

export function proxyRoutes(routes: Routes, parts: HttpParts, all: Metrics, arrivals: Arrivals): void {
  const proxy = new Proxying(parts, arrivals);
  // Bodies stay streams, whatever they are.
  routes.removeAllContentTypeParsers();
  routes.addContentTypeParser('*', (_request, _payload, done) => done(null));
  routes.addHook('onResponse', async (request, reply) => {
    all.request(request.method, '/proxy/:grant/*', reply.statusCode, reply.elapsedTime / 1000);
  });
  routes.addHook('preClose', async () => {
    proxy.stop();
    // Not waited for: what ends in time ends by itself.
    void parts.clock.sleep(GRACE_MS).then(() => parts.relay.close());
  });
  const handler = (request: FastifyRequest, reply: FastifyReply) => proxy.answer(request, reply);
  for (const url of ['/proxy/:grant', '/proxy/:grant/*']) {
    routes.all(url, { schema: { hide: true }, config: { streamsBody: true }, exposeHeadRoute: false, handler });
  }
}

class Proxying {
  readonly #parts: HttpParts;
  readonly #arrivals: Arrivals;
  readonly #underway: UnderwayRequests;
  readonly #cache: ProxyCache | null;
  readonly #ownOrigin: string;

  constructor(parts: HttpParts, arrivals: Arrivals) {
    this.#parts = parts;
    this.#arrivals = arrivals;
    this.#underway = new UnderwayRequests(parts.clock);
    const { proxyCacheBytes, publicUrl } = parts.settings;
    const cache = proxyCacheBytes > 0 ? new ProxyCache(proxyCacheBytes, parts.clock) : null;
    if (cache) parts.shared.outdated.watch((key) => cache.forget(key));
    this.#cache = cache;
    this.#ownOrigin = publicUrl;
  }

  async answer(request: FastifyRequest, reply: FastifyReply): Promise<undefined> {
    const caller: Waiting = { isGone: false, onGone: null, done: null };
    reply.raw.once('close', () => {
      caller.done?.();
      if (reply.raw.writableFinished) return;
      caller.isGone = true;
      caller.onGone?.();
    });
    try {
      await this.#answer(request, reply, caller);
    } catch (cause) {
      if (cause instanceof EvergrantError && cause.status === 401) reply.header('www-authenticate', CHALLENGES);
      if (!caller.isGone) throw cause;
      // Nobody is there to be told.
      reply.hijack();
      reply.raw.destroy();
    }
    return undefined;
  }

  stop(): void {
    this.#underway.stop();
  }

  async #answer(request: FastifyRequest, reply: FastifyReply, caller: Waiting): Promise<void> {
    const exchange = await this.#prepare(request, reply, caller);
    // First, so that nothing kept is given away for a grant that has ended.
    const token = exchange.api.credential ? null : await this.#token(exchange.name);
    const cached = this.#cache?.find(exchange.api, exchange.target, request) ?? null;
    if (cached?.isFresh) write(reply, cached.status, this.#headersFor(exchange, cached)).end(cached.body);
    else await this.#relay(exchange, token, reply, cached);
  }

  async #prepare(request: FastifyRequest, reply: FastifyReply, caller: Waiting): Promise<Exchange> {
    const { raw, headers } = request;
    refuseCrossSite(headers, this.#ownOrigin);
    assertPlain(request);
    const address = readAddress(raw.url ?? '');
    const permit = await permitFor(this.#parts, headers, address.grant);
    this.#watch(permit, request, reply, caller);
    const { api } = permit;
    const target = targetOf(api, address, textOf(headers['evergrant-base-url']));
    const body = await bodyOf(request);
    if (body === raw) this.#arrivals.follow(raw);
    return { request, name: address.grant, address, api, target, body, caller };
  }

  /** Ends the request when the right to it is lost, wherever it is by then. */
  #watch(permit: Permit, { headers }: FastifyRequest, reply: FastifyReply, caller: Waiting): void {
    if (reply.raw.closed) return;
    caller.done = this.#underway.add({
      right: `${permit.api.grant} ${headers.authorization}`,
      stillMay: () => stillMay(this.#parts, headers, permit),
      end: () => reply.raw.destroy(),
    });
  }

  async #relay(
    exchange: Exchange,
    token: AccessToken | null,
    reply: FastifyReply,
    cached: Cached | null,
  ): Promise<void> {
    let answer = await this.#send(exchange, token, cached);
    if (answer.status === 401 && token) {
      const other = await this.#afterRefusal(exchange, token, answer);
      if (other) answer = await this.#send(exchange, other, cached);
    }
    const renewed = answer.status === 304 && cached ? this.#cache?.renew(exchange, cached, answer.headers) : null;
    if (renewed) {
      answer.body.discard();
      write(reply, renewed.status, this.#headersFor(exchange, renewed)).end(renewed.body);
      return;
    }
    const outdated = this.#cache?.outdatedBy(exchange, answer) ?? null;
    // Also where another process keeps it, before the caller knows that it was changed.
    if (outdated !== null) await this.#parts.shared.outdated.tell(outdated);
    this.#cache?.keep(exchange, answer);
    const to = write(reply, answer.status, this.#headersFor(exchange, answer));
    answer.body.pipeTo(to);
    this.#arrivals.followAnswer(to);
  }

  async #token(name: string): Promise<AccessToken> {
    const { tokens } = this.#parts.keeper;
    const live = tokens.peek(name, MIN_TTL_MS) ?? (await tokens.get(name, { minTtlMs: null, waitMs: WAIT_MS }));
    return live.accessToken;
  }

  /** The provider does not take the token: another one, where the keeper has or gets it and the request can be repeated. */
  async #afterRefusal(exchange: Exchange, refused: AccessToken, answer: RelayAnswer): Promise<AccessToken | null> {
    if (exchange.body !== null && !(exchange.body instanceof Uint8Array)) return null;
    const rejected = hash('sha256', refused.reveal(), 'base64url');
    try {
      const wish = { minTtlMs: null, waitMs: WAIT_MS, rejected };
      const { accessToken } = await this.#parts.keeper.tokens.get(exchange.name, wish);
      if (accessToken.reveal() === refused.reveal()) return null;
      answer.body.discard();
      return accessToken;
    } catch (cause) {
      answer.body.discard();
      throw cause;
    }
  }

  async #send(exchange: Exchange, token: AccessToken | null, cached: Cached | null): Promise<RelayAnswer> {
    const { request, api, target, body, caller } = exchange;
    const headers = requestHeaders(request.headers, proofOf(api, token));
    if (cached) Object.assign(headers, cached.conditions);
    if (body !== null && request.headers['content-length'] !== undefined) {
      headers['content-length'] = request.headers['content-length'];
    }
    const isRepeatable = SAFE.has(request.method) && body === null;
    for (let isSecond = false; ; isSecond = true) {
      const spent = await this.#spend(api, exchange.address.rest);
      const wanted = { method: request.method, ...target, reach: api.reach, headers, body, caller };
      const answer = await this.#parts.relay.send(wanted);
      if (answer.kind === 'answer') {
        spent.answered(answer.status, answer.headers, this.#parts.clock.now());
        return answer;
      }
      spent.lost();
      // A kept connection may be closed by the other side at the very moment in which it is used.
      if (answer.kind === 'lost' && isRepeatable && !isSecond && !caller.isGone) continue;
      throw noAnswer(api, answer.kind === 'not_sent' || isRepeatable, answer.reason);
    }
  }

  #headersFor(
    { api, address, target, request }: Exchange,
    { status, headers: said }: Pick<RelayAnswer, 'status' | 'headers'>,
  ): OutgoingHttpHeaders {
    const headers = answerHeaders(said);
    // None has a body (RFC 9110 section 8.6), and who waits for one would take the next answer for it.
    if (status === 204) delete headers['content-length'];
    if (said.location === undefined && said.link === undefined) return headers;
    const here = { api, address, target, ownHosts: ownHosts(request.headers, new URL(this.#ownOrigin).host) };
    const location = locationFor(textOf(said.location) ?? '', here);
    if (said.location !== undefined && location !== null) headers.location = location;
    // With an origin of its own, the proxy does not know by which name its callers reach it.
    const link = linkFor(textOf(said.link) ?? '', here, this.#parts.surface === 'proxy' ? '' : this.#ownOrigin);
    if (link !== null) headers.link = link;
    return headers;
  }

  async #spend(api: GrantApi, rest: string): Promise<Spent> {
    const spent = await this.#parts.shared.budgets.take(api, rest, this.#parts.clock.now());
    if ('answered' in spent) return spent;
    const { retryAfterMs, limit } = spent;
    throw new EvergrantError('rate_limited', `Nothing was sent: ${limit} is used up, by all callers together.`, {
      remedy: 'Wait as long as Retry-After says.',
      grant: api.grant,
      retryAfterMs,
    });
  }
}

/** The access token as RFC 6750 has it, or what stands in its place. */
function proofOf({ credential }: GrantApi, token: AccessToken | null): { header: string; value: string } {
  if (credential) return { header: credential.header, value: credential.value.reveal() };
  return { header: 'authorization', value: `Bearer ${token?.reveal() ?? ''}` };
}

const LATER_MS = 5_000;

function noAnswer(api: GrantApi, isHarmless: boolean, reason: string): EvergrantError {
  const details = { grant: api.grant, cause: reason };
  if (isHarmless) {
    return new EvergrantError('upstream_unavailable', `The API of ${api.providerName} does not answer: ${reason}.`, {
      ...details,
      remedy: 'Ask again after the time in Retry-After.',
      retryAfterMs: LATER_MS,
    });
  }
  return new EvergrantError('upstream_lost', `The API of ${api.providerName} gave no answer: ${reason}.`, {
    ...details,
    remedy: 'It may have done what was asked: look there before sending it again.',
  });
}

/** A request that is one request, to be answered with what the API says and not with what it was sent. */
function assertPlain({ method, headers }: FastifyRequest): void {
  if (headers.upgrade !== undefined) throw invalidRequest('The proxy upgrades no connection.');
  if (method === 'TRACE') {
    throw new EvergrantError(
      'method_not_allowed',
      'TRACE is answered with the request itself, and so with its token.',
      {
        remedy: 'Use another method.',
      },
    );
  }
  const coding = headers['transfer-encoding'];
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') {
    throw invalidRequest('Of transfer codings, the proxy takes chunked alone.');
  }
}

/** Null: there is none. Bytes: it is short enough to be sent twice. */
async function bodyOf({ raw, headers }: FastifyRequest): Promise<Exchange['body']> {
  const length = headers['content-length'];
  if (length === undefined) return headers['transfer-encoding'] === undefined ? null : raw;
  if (Number(length) === 0) return null;
  if (Number(length) > REPEATABLE_BYTES) return raw;
  const chunks: Buffer[] = [];
  for await (const chunk of raw) chunks.push(chunk as Buffer);
  return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks);
}

function write(reply: FastifyReply, status: number, headers: OutgoingHttpHeaders): ServerResponse {
  reply.hijack();
  return reply.raw.writeHead(status, headers);
}
