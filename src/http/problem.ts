/**
 * Errors as RFC 9457 problems. An `EvergrantError` is shown as it is; anything else is a slip of ours: it is logged
 * under a reference, and only the reference is shown.
 */
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import { ERRORS, EvergrantError } from '../core/errors.ts';
import { diagnosisJson } from './grant-json.ts';
import type { HttpParts } from './parts.ts';
import { StoreFailure } from '../ports/store.ts';
import { secureHeaders } from './security-headers.ts';

const REFERENCE_BYTES = 9;
const NAMES_SHOWN = 5;
const NAME_SHOWN_LENGTH = 40;

/** Answers with the problem that an error is. */
export function sendProblem(parts: HttpParts, request: FastifyRequest, reply: FastifyReply, thrown: unknown): void {
  const error = asEvergrantError(parts, request, thrown);
  secureHeaders(reply);
  reply.header('cache-control', 'no-store');
  if (error.status === 401 && !reply.hasHeader('www-authenticate')) reply.header('www-authenticate', 'Bearer');
  if (error.details.retryAfterMs !== undefined) reply.header('retry-after', retryAfter(error.details.retryAfterMs));
  reply
    .code(error.status)
    .type('application/problem+json')
    .send(JSON.stringify(problemJson(error, parts.settings.publicUrl)));
}

/** Whole seconds, rounded up: asking again after them is never too early. */
function retryAfter(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000));
}

/** The members of a problem. */
export function problemJson(error: EvergrantError, publicUrl: string): object {
  const { remedy, grant, retryAfterMs, diagnosis, renewUrl } = error.details;
  return {
    type: `${publicUrl}/docs#${error.code}`,
    status: error.status,
    code: error.code,
    title: ERRORS[error.code].title,
    detail: error.message,
    remedy,
    ...(retryAfterMs === undefined ? {} : { retry_after: retryAfter(retryAfterMs) }),
    ...(grant === undefined ? {} : { grant }),
    ...(renewUrl === undefined ? {} : { renew_url: renewUrl }),
    ...(diagnosis === undefined ? {} : { diagnosis: diagnosisJson(diagnosis) }),
  };
}

/** Any thrown value as an error with a code. */
export function asEvergrantError(parts: HttpParts, request: FastifyRequest, thrown: unknown): EvergrantError {
  if (thrown instanceof EvergrantError) return thrown;
  if (hasZodFastifySchemaValidationErrors(thrown)) return invalid(thrown);
  if (thrown instanceof StoreFailure) return storeIsAway(parts, thrown);
  return ofFramework(thrown) ?? internal(parts, request, thrown);
}

const STORE_RETRY_MS = 2_000;

function storeIsAway({ log }: HttpParts, cause: StoreFailure): EvergrantError {
  log.warn('a request needed the store, which failed', { why: cause.message });
  return new EvergrantError('storage_unavailable', 'The store does not answer, or refuses what it is asked.', {
    remedy: 'Ask again after the time in Retry-After. Operators: look at the database and its disk.',
    retryAfterMs: STORE_RETRY_MS,
    cause,
  });
}

type Validation = Extract<FastifyError, unknown> & { validationContext?: string };

function invalid(thrown: unknown): EvergrantError {
  const { validation = [], validationContext } = thrown as Validation;
  // An id that cannot be one names nothing.
  if (validationContext === 'params') return notFound();
  const unknown = validation.find((issue) => issue.keyword === 'unrecognized_keys');
  if (unknown) return unknownField(unknown.instancePath, unknown.params.keys);
  const [first] = validation;
  const field =
    fieldName(first?.instancePath ?? '') || (validationContext === 'querystring' ? 'the query' : 'the body');
  return invalidRequest(`${field}: ${first?.message ?? 'not valid'}.`);
}

export function invalidRequest(detail: string, remedy = 'Correct it and send the request again.'): EvergrantError {
  return new EvergrantError('invalid_request', detail, { remedy });
}

export function unknownField(path: string, keys: unknown): EvergrantError {
  const names = Array.isArray(keys) ? keys.slice(0, NAMES_SHOWN).map((key) => shown(`${fieldName(path)}.${key}`)) : [];
  const detail = `Not known here: ${names.join(', ')}.`;
  return new EvergrantError('unknown_field', detail, {
    remedy: 'Leave it out, or look for its right name in /openapi.json.',
  });
}

export function notFound(detail = 'There is nothing at this address that this key may see.'): EvergrantError {
  return new EvergrantError('not_found', detail, { remedy: 'Check the id or alias, and the path.' });
}

/** `/labels/team` is `labels.team`. */
function fieldName(instancePath: string): string {
  return shown(instancePath.slice(1).replaceAll('/', '.'));
}

/** Names come from the request: shortened, and only plain characters. */
function shown(name: string): string {
  return name
    .replace(/^\./, '')
    .replaceAll(/[^\w.-]/g, '?')
    .slice(0, NAME_SHOWN_LENGTH);
}

/** Mistakes in a request that the framework found. */
function ofFramework(thrown: unknown): EvergrantError | null {
  const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : '';
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new EvergrantError('payload_too_large', 'The body is larger than 1 MiB.', {
        remedy: 'Send less; of many grants, one a request.',
      });
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new EvergrantError('unsupported_media_type', 'The body is not declared as JSON.', {
        remedy: 'Send the header Content-Type: application/json.',
      });
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
      return invalidRequest('The body does not have the length that its header names.');
    case 'FST_ERR_BAD_URL':
      return invalidRequest('The path is not a valid URL: after each % must come two hexadecimal digits of UTF-8.');
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return notFound();
    case 'ECONNRESET':
      return invalidRequest('The connection ended before the whole body had come.');
    default:
      return isCallersMistake(thrown)
        ? invalidRequest('The request is not one of HTTP as it is understood here.')
        : null;
  }
}

/** Of the framework's own errors, those that it would answer with 4xx. */
function isCallersMistake(thrown: unknown): boolean {
  const { code, statusCode } = thrown as Partial<FastifyError>;
  return code?.startsWith('FST_ERR_') === true && statusCode !== undefined && statusCode >= 400 && statusCode < 500;
}

function internal(parts: HttpParts, request: FastifyRequest, thrown: unknown): EvergrantError {
  const reference = Buffer.from(parts.random.bytes(REFERENCE_BYTES)).toString('base64url');
  const route = request.routeOptions?.url ?? 'none';
  parts.log.error('a request failed', { reference, method: request.method, route }, thrown);
  return new EvergrantError('internal_error', `This is a fault of the server. Its log tells more under ${reference}.`, {
    remedy: `Try again; if it stays, look for ${reference} in the log of the server.`,
  });
}
