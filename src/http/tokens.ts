/**
 * `/v1/grants/{g}/token` and `/refresh`: access tokens.
 *
 * The token read is a hot path: a key that is known and a token that lives are answered in the same turn of the event
 * loop, from memory, before the framework sees the request, or where it has a body, past its hooks and serializers.
 */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { may } from '../access/api-keys.ts';
import { EvergrantError } from '../core/errors.ts';
import { toRfc3339 } from '../core/instant.ts';
import type { AccessToken } from '../core/secret.ts';
import type { LiveAccessToken, TokenWish } from '../keeper/keeper.ts';
import { authenticate, bearerText } from './authentication.ts';
import type { HttpParts, Routes } from './parts.ts';
import { invalidRequest, notFound, unknownField } from './problem.ts';
import { Name, named, problems, Time } from './schemas.ts';
import { TOKEN_HEADERS } from './security-headers.ts';

const DEFAULT_MIN_TTL = 5;
const DEFAULT_WAIT = 30;
const MOST_WAIT = 120;
/** A year; more is surely a mistake of units. */
const MOST_MIN_TTL = 31_536_000;
/** base64url of a SHA-256. */
const DIGEST = /^[A-Za-z0-9_-]{43}$/;

const TokenJson = named(
  'Token',
  z.object({
    access_token: z.string(),
    token_type: z.literal('Bearer'),
    expires_in: z.int().nullable().describe('Whole seconds; null where the provider names no life.'),
    expires_at: Time.nullable(),
    scope: z.string().nullable(),
  }),
);

const TokenWishJson = named(
  'TokenWish',
  z.strictObject({
    min_ttl: z.number().min(0).max(MOST_MIN_TTL).default(DEFAULT_MIN_TTL).describe('Seconds it must still live.'),
    wait: z.number().min(0).max(MOST_WAIT).default(DEFAULT_WAIT).describe('Seconds to wait for one.'),
    rejected: z
      .string()
      .regex(DIGEST)
      .optional()
      .describe('base64url SHA-256 of an access token that the provider refused.'),
  }),
);

interface TokenRoute {
  Params: { grant: string };
}
type TokenRequest = FastifyRequest<TokenRoute>;

/** The token read. It has no hooks: it checks key and body itself. */
export function tokenRoutes(routes: Routes, parts: HttpParts): void {
  const params = z.object({ grant: Name });
  const response = { 200: TokenJson, ...problems };
  const querystring = z.strictObject({ min_ttl: TokenWishJson.shape.min_ttl });
  const handler = (request: FastifyRequest, reply: FastifyReply) => answerToken(parts, request as TokenRequest, reply);
  // Described for the documentation, checked by hand: see `readWish`.
  const validatorCompiler = () => () => true;
  routes.route({
    method: 'GET',
    url: '/v1/grants/:grant/token',
    schema: { summary: 'A fresh access token', params, querystring, response },
    validatorCompiler,
    handler,
  });
  routes.route({
    method: 'POST',
    url: '/v1/grants/:grant/token',
    schema: { summary: 'A fresh access token', params, body: TokenWishJson.nullish(), response },
    validatorCompiler,
    handler,
  });
}

const PATH_START = '/v1/grants/';
const PATH_END = '/token';

/** Answers a token read that wishes for nothing but a token; false where memory is not enough. */
export function serveToken(parts: HttpParts, request: IncomingMessage, response: ServerResponse): boolean {
  const { method, url = '', headers } = request;
  if ((method !== 'POST' && method !== 'GET') || !url.startsWith(PATH_START) || !url.endsWith(PATH_END)) return false;
  if (hasBody(headers) || !isKnown(parts, headers.authorization)) return false;
  // A name of no grant, as one with a query or with escapes is, leads nowhere in memory.
  const grant = url.slice(PATH_START.length, -PATH_END.length);
  return serveFromMemory(parts, response, grant, DEFAULT_WISH);
}

function hasBody(headers: IncomingHttpHeaders): boolean {
  const length = headers['content-length'];
  const isEmpty = length === undefined || length === '0';
  return !isEmpty || headers['transfer-encoding'] !== undefined || headers['content-type'] !== undefined;
}

function answerToken(parts: HttpParts, request: TokenRequest, reply: FastifyReply): undefined | Promise<undefined> {
  if (!isKnown(parts, request.headers.authorization)) return slowToken(parts, request, reply, null);
  const wish = readWish(request);
  if (!serveFromMemory(parts, reply.raw, request.params.grant, wish)) return slowToken(parts, request, reply, wish);
  reply.hijack();
  return undefined;
}

/** Whether the key is one that may read tokens, as far as memory tells. */
function isKnown({ apiKeys }: HttpParts, authorization: string | undefined): boolean {
  const text = bearerText(authorization);
  const caller = text === null ? null : apiKeys.recall(text);
  return caller !== null && may(caller, 'token');
}

function serveFromMemory(
  { keeper, shared }: HttpParts,
  response: ServerResponse,
  grant: string,
  { rejected, minTtlMs }: TokenWish,
): boolean {
  if (rejected !== undefined) return false;
  const live = keeper.tokens.peek(grant, minTtlMs ?? DEFAULT_MIN_TTL * 1000);
  if (!live) return false;
  shared.metrics.servedFromMemory();
  writeToken(response, live);
  return true;
}

/** A key seen for the first time, or a token that must be waited for. */
async function slowToken(
  parts: HttpParts,
  request: TokenRequest,
  reply: FastifyReply,
  known: TokenWish | null,
): Promise<undefined> {
  const { metrics } = parts.shared;
  try {
    await authenticate(parts, request, 'token');
    const { grant } = request.params;
    if (!Name.safeParse(grant).success) throw notFound();
    const live = await parts.keeper.tokens.get(grant, known ?? readWish(request));
    metrics.tokenRequest('ok');
    reply.hijack();
    writeToken(reply.raw, live);
    return undefined;
  } catch (error) {
    metrics.tokenRequest(error instanceof EvergrantError ? error.code : 'internal_error');
    throw error;
  }
}

/** An answer as it is sent, but for the seconds that are left: they stand between `head` and `tail`. */
interface ReadyAnswer {
  readonly live: LiveAccessToken;
  /** The headers are those of so many digits. */
  readonly digits: number;
  readonly headers: string[];
  readonly head: string;
  readonly tail: string;
  readonly encoding: 'latin1' | 'utf8';
}

/** By the token itself: gone when the keeper lets go of it. */
const ready = new WeakMap<AccessToken, ReadyAnswer>();

/** Past the framework's own way of answering. */
function writeToken(response: ServerResponse, live: LiveAccessToken): void {
  const seconds = secondsLeft(live);
  const earlier = ready.get(live.accessToken);
  const answer = earlier && isSameAnswer(earlier, live, seconds) ? earlier : makeReady(live, seconds);
  response.writeHead(200, answer.headers);
  response.end(answer.head + seconds + answer.tail, answer.encoding);
}

/** The two clocks by which the end is reckoned differ by a hair from request to request. */
const END_TOLERANCE_MS = 20;

function isSameAnswer({ live: a, digits }: ReadyAnswer, b: LiveAccessToken, seconds: string): boolean {
  if (digits !== seconds.length || a.scope !== b.scope) return false;
  return a.expiresAt === b.expiresAt || Math.abs(a.expiresAt - b.expiresAt) < END_TOLERANCE_MS;
}

function makeReady(live: LiveAccessToken, seconds: string): ReadyAnswer {
  const { head, tail } = aroundSeconds(live);
  const text = head + seconds + tail;
  const length = Buffer.byteLength(text);
  // Node writes plain ASCII faster when it need not look for anything else.
  const encoding = length === text.length ? 'latin1' : 'utf8';
  const headers = [...TOKEN_HEADERS, String(length)];
  const answer: ReadyAnswer = { live, digits: seconds.length, headers, head, tail, encoding };
  ready.set(live.accessToken, answer);
  return answer;
}

/** As `expires_in` has it. Rounded down: a client that believes it is never late. */
function secondsLeft({ leftMs }: LiveAccessToken): string {
  return Number.isFinite(leftMs) ? String(Math.max(0, Math.floor(leftMs / 1000))) : 'null';
}

function aroundSeconds({ accessToken, expiresAt, leftMs, scope }: LiveAccessToken): Pick<ReadyAnswer, 'head' | 'tail'> {
  const token = JSON.stringify(accessToken.reveal());
  const end = Number.isFinite(expiresAt) && Number.isFinite(leftMs) ? `"${toRfc3339(expiresAt)}"` : 'null';
  return {
    head: `{"access_token":${token},"token_type":"Bearer","expires_in":`,
    tail: `,"expires_at":${end},"scope":${JSON.stringify(scope)}}`,
  };
}

function tokenBody(live: LiveAccessToken): string {
  const { head, tail } = aroundSeconds(live);
  return head + secondsLeft(live) + tail;
}

const WISH_FIELDS = ['min_ttl', 'wait', 'rejected'];
const DEFAULT_WISH: TokenWish = { minTtlMs: null, waitMs: DEFAULT_WAIT * 1000 };

/** Body or query of a token read. */
function readWish(request: FastifyRequest): TokenWish {
  if (request.method === 'POST') {
    assertNoFields(request.query);
    return request.body === undefined || request.body === null ? DEFAULT_WISH : wishOfBody(request.body);
  }
  return wishOfQuery(request.query as Record<string, unknown>);
}

function wishOfQuery(query: Record<string, unknown>): TokenWish {
  const { min_ttl: minTtl, ...rest } = query;
  assertNoFields(rest);
  if (minTtl === undefined) return DEFAULT_WISH;
  if (typeof minTtl !== 'string' || !/^\d{1,9}(\.\d{1,3})?$/.test(minTtl)) throw notSeconds('min_ttl', MOST_MIN_TTL);
  return { ...DEFAULT_WISH, minTtlMs: secondsAsMs(Number(minTtl), 'min_ttl', MOST_MIN_TTL) };
}

function wishOfBody(body: unknown): TokenWish {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw invalidRequest('The body must be a JSON object, as in {"min_ttl": 60}.');
  }
  const unknown = Object.keys(body).filter((key) => !WISH_FIELDS.includes(key));
  if (unknown.length > 0) throw unknownField('', unknown);
  const { min_ttl: minTtl, wait = DEFAULT_WAIT, rejected } = body as Record<string, unknown>;
  const minTtlMs = minTtl === undefined ? null : secondsAsMs(minTtl, 'min_ttl', MOST_MIN_TTL);
  const wish = { minTtlMs, waitMs: secondsAsMs(wait, 'wait', MOST_WAIT) };
  if (rejected === undefined) return wish;
  if (typeof rejected !== 'string' || !DIGEST.test(rejected)) {
    throw invalidRequest('rejected: must be the SHA-256 of the refused access token, as 43 characters of base64url.');
  }
  return { ...wish, rejected };
}

function assertNoFields(query: unknown): void {
  const names = Object.keys(query ?? {});
  if (names.length > 0) throw unknownField('', names);
}

function secondsAsMs(value: unknown, field: string, most: number): number {
  if (typeof value !== 'number' || !(value >= 0 && value <= most)) throw notSeconds(field, most);
  return value * 1000;
}

function notSeconds(field: string, most: number): EvergrantError {
  return invalidRequest(`${field}: must be a number of seconds from 0 to ${most}.`);
}

/** `/refresh`: exchanges now. Guarded like every other POST. */
export function refreshRoutes(routes: Routes, { keeper }: HttpParts): void {
  routes.post(
    '/v1/grants/:grant/refresh',
    {
      schema: {
        summary: "Exchange now, if the provider's spacing allows it",
        params: z.object({ grant: Name }),
        body: z.strictObject({}).nullish(),
        response: { 200: TokenJson, ...problems },
      },
    },
    async ({ params }, reply) => {
      const live = await keeper.tokens.refresh(params.grant);
      return reply
        .header('cache-control', 'no-store')
        .header('pragma', 'no-cache')
        .send(JSON.parse(tokenBody(live)));
    },
  );
}
