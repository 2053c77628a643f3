/**
 * Pages of public clients call our OAuth endpoints from their own origin (CORS): those to whose redirect URIs users come
 * back, and no others, for a server on this machine or in a house's own network answers any page's browser. Cookies and
 * Basic credentials of a browser play no part: `Access-Control-Allow-Credentials` is never sent.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { HttpParts, Routes } from './parts.ts';

const EXPOSED = 'DPoP-Nonce, Retry-After, WWW-Authenticate';
const SENT = 'Content-Type, DPoP';
const ASK_AGAIN_S = '600';
const LONGEST_ORIGIN = 512;

/** Headers that let the page read the answer, as a flat list; empty where it is no client's. */
export async function pageHeaders(parts: HttpParts, request: FastifyRequest): Promise<readonly string[]> {
  const { origin } = request.headers;
  if (origin === undefined || origin.length > LONGEST_ORIGIN) return [];
  // Whatever goes wrong here is told by what the page asked for.
  const isOfPages = await parts.issuer.clients.isOfPages(origin).catch(() => false);
  const headers = ['access-control-allow-origin', origin, 'access-control-expose-headers', EXPOSED];
  return isOfPages ? ['vary', 'Origin', ...headers] : ['vary', 'Origin'];
}

export function setHeaders(reply: FastifyReply, headers: readonly string[]): void {
  for (let i = 0; i < headers.length; i += 2) reply.header(headers[i] ?? '', headers[i + 1] ?? '');
}

/** Answers what a browser asks before it lets a page send what a form could not. */
export function pagesMayPost(routes: Routes, parts: HttpParts, url: string): void {
  routes.options(url, { schema: { hide: true } }, async (request, reply) => {
    const headers = await pageHeaders(parts, request);
    setHeaders(reply, headers);
    if (headers.includes('access-control-allow-origin')) {
      reply.header('access-control-allow-methods', 'POST').header('access-control-allow-headers', SENT);
      reply.header('access-control-max-age', ASK_AGAIN_S);
    }
    return reply.code(204).header('allow', 'POST, OPTIONS').send();
  });
}

/** What anybody may read anyway. */
export function pagesMayGet(routes: Routes, url: string): void {
  routes.options(url, { schema: { hide: true } }, async (_, reply) =>
    reply
      .code(204)
      .header('access-control-allow-origin', '*')
      .header('access-control-allow-methods', 'GET')
      // Some protocols send a header of their own with it.
      .header('access-control-allow-headers', '*')
      .header('access-control-max-age', ASK_AGAIN_S)
      .send(),
  );
}
