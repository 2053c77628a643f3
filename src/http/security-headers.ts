/** Headers that every answer has, and those of pages. */
import type { FastifyReply } from 'fastify';

/** As a flat list, for answers that are written without the framework. */
export const SECURITY_HEADERS: readonly string[] = [
  'x-content-type-options',
  'nosniff',
  'x-frame-options',
  'DENY',
  'referrer-policy',
  'no-referrer',
  'cross-origin-resource-policy',
  'same-origin',
  'content-security-policy',
  "default-src 'none'; frame-ancestors 'none'",
];

const PAIRS = SECURITY_HEADERS.flatMap((name, i) =>
  i % 2 === 0 ? [[name, SECURITY_HEADERS[i + 1] ?? ''] as const] : [],
);

/** Sets those that are not set yet. */
export function secureHeaders(reply: FastifyReply): void {
  for (const [name, value] of PAIRS) if (!reply.hasHeader(name)) reply.header(name, value);
}

/** Of an answer with a token, as `writeHead` takes them; the value of the last one, its length, follows. */
export const TOKEN_HEADERS: readonly string[] = [
  'content-type',
  'application/json; charset=utf-8',
  'cache-control',
  'no-store',
  'pragma',
  'no-cache',
  ...SECURITY_HEADERS,
  'content-length',
];
