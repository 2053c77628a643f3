/**
 * `/v1/grants/{g}/token` and `/refresh`: access tokens.
 *
 * The token read is the one hot path of this room: a key that is known and a token that lives are answered in the same
 * turn of the event loop, from memory, past the hooks and serializers that every other route has.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { may } from '../access/api-keys.ts';
import { EvergrantError } from '../core/errors.ts';
import { toRfc3339 } from '../core/instant.ts';
import type { AccessToken } from '../core/secret.ts';
import type { LiveAccessToken, TokenWish } from '../keeper/keeper.ts';
import { authenticate, bearerText } from './authentication.ts';
import type { Metrics } from './metrics.ts';
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
export function tokenRoutes(routes: Routes, parts: HttpParts, metrics: Metrics): void {
  const params = z.object({ grant: Name });
  const response = { 200: TokenJson, ...problems };
  const querystring = z.strictObject({ min_ttl: TokenWishJson.shape.min_ttl });
  const handler = (request: FastifyRequest, reply: FastifyReply) =>
    answerToken(parts, metrics, request as TokenRequest, reply);
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

function answerToken(
  parts: HttpParts,
  metrics: Metrics,
  request: TokenRequest,
  reply: FastifyReply,
): undefined | Promise<undefined> {
  const text = bearerText(request.headers.authorization);
  const caller = text === null ? null : parts.apiKeys.recall(text);
  if (!caller || !may(caller, 'token')) return slowToken(parts, metrics, request, reply, null);
  const wish = readWish(request);
  const live =
    wish.rejected === undefined
      ? parts.keeper.tokens.peek(request.params.grant, wish.minTtlMs ?? DEFAULT_MIN_TTL * 1000)
      : null;
  if (!live) return slowToken(parts, metrics, request, reply, wish);
  metrics.servedFromMemory();
  writeToken(reply, live);
  return undefined;
}

/** A key seen for the first time, or a token that must be waited for. */
async function slowToken(
  parts: HttpParts,
  metrics: Metrics,
  request: TokenRequest,
  reply: FastifyReply,
  known: TokenWish | null,
): Promise<undefined> {
  try {
    await authenticate(parts, request, 'token');
    const { grant } = request.params;
    if (!Name.safeParse(grant).success) throw notFound();
    const live = await parts.keeper.tokens.get(grant, known ?? readWish(request));
    metrics.tokenRequest('ok');
    writeToken(reply, live);
    return undefined;
  } catch (error) {
    metrics.tokenRequest(error instanceof EvergrantError ? error.code : 'internal_error');
    throw error;
  }
}

/** An answer as it is sent: the same for all requests of one second. */
interface ReadyAnswer {
  readonly live: LiveAccessToken;
  readonly headers: string[];
  readonly body: string;
  readonly encoding: 'latin1' | 'utf8';
}

/** By the token itself: gone when the keeper lets go of it. */
const ready = new WeakMap<AccessToken, ReadyAnswer>();

/** Past the framework's own way of answering. */
function writeToken(reply: FastifyReply, live: LiveAccessToken): void {
  const earlier = ready.get(live.accessToken);
  const answer = earlier && isSameAnswer(earlier.live, live) ? earlier : makeReady(live);
  reply.hijack();
  reply.raw.writeHead(200, answer.headers);
  reply.raw.end(answer.body, answer.encoding);
}

/** The two clocks by which the end is reckoned differ by a hair from request to request. */
const END_TOLERANCE_MS = 20;

function isSameAnswer(a: LiveAccessToken, b: LiveAccessToken): boolean {
  if (wholeSeconds(a.leftMs) !== wholeSeconds(b.leftMs) || a.scope !== b.scope) return false;
  return a.expiresAt === b.expiresAt || Math.abs(a.expiresAt - b.expiresAt) < END_TOLERANCE_MS;
}

function makeReady(live: LiveAccessToken): ReadyAnswer {
  const body = tokenBody(live);
  const length = Buffer.byteLength(body);
  // Node writes plain ASCII faster when it need not look for anything else.
  const encoding = length === body.length ? 'latin1' : 'utf8';
  const answer: ReadyAnswer = { live, headers: [...TOKEN_HEADERS, String(length)], body, encoding };
  ready.set(live.accessToken, answer);
  return answer;
}

/** Rounded down: a client that believes it is never late. */
function wholeSeconds(ms: number): number {
  return Math.max(0, Math.floor(ms / 1000));
}

function tokenBody({ accessToken, expiresAt, leftMs, scope }: LiveAccessToken): string {
  const token = JSON.stringify(accessToken.reveal());
  const isEndless = !Number.isFinite(leftMs);
  const life = isEndless ? 'null' : wholeSeconds(leftMs);
  const end = isEndless || !Number.isFinite(expiresAt) ? 'null' : `"${toRfc3339(expiresAt)}"`;
  return `{"access_token":${token},"token_type":"Bearer","expires_in":${life},"expires_at":${end},"scope":${JSON.stringify(scope)}}`;
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
