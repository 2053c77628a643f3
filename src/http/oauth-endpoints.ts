/**
 * Our OAuth endpoints for programs: token, revocation, introspection, pushed and device authorization, metadata.
 *
 * The token endpoint is the hot path of clients: a request that was answered before is answered in the same turn of the
 * event loop, from memory, before the framework sees it, or where its body came in parts, past hooks and serializers.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { OAuthRequest } from '../issuer/client-authentication.ts';
import { isForm, readForm } from '../oauth/form.ts';
import { invalidRequest, OAuthError } from '../oauth/oauth-error.ts';
import { asOAuthError, sendOAuthError, WRONG_TYPE } from './oauth-answers.ts';
import { pageHeaders, pagesMayGet, pagesMayPost, setHeaders } from './oauth-cors.ts';
import type { HttpParts, Routes } from './parts.ts';
import { textOf } from './proxy-headers.ts';
import { TOKEN_HEADERS } from './security-headers.ts';

const MOST_FORM_BYTES = 65_536;

/** Alone, without hooks. */
export function oauthTokenRoutes(routes: Routes, parts: HttpParts): void {
  readForms(routes, parts);
  onlyPost(routes, '/oauth/token', (request, reply) => {
    if (!serveOAuthToken(parts, request.raw, reply.raw, formOf(request))) return slowToken(parts, reply, request);
    reply.hijack();
    return undefined;
  });
  pagesMayPost(routes, parts, '/oauth/token');
}

/** Answers a request that was answered before; false where memory is not enough. */
export function serveOAuthToken(
  { issuer, shared }: HttpParts,
  { headers }: IncomingMessage,
  response: ServerResponse,
  form: Buffer,
): boolean {
  // A proof works once, and what a page may read depends on its origin.
  if (headers.dpop !== undefined || headers.origin !== undefined) return false;
  const known = issuer.token.recall(headers.authorization, form);
  if (known === null) return false;
  shared.metrics.servedFromMemory();
  writeToken(response, known, []);
  return true;
}

async function slowToken(parts: HttpParts, reply: FastifyReply, request: FastifyRequest): Promise<undefined> {
  const { metrics } = parts.shared;
  const forPage = await pageHeaders(parts, request);
  setHeaders(reply, forPage);
  const body = formOf(request);
  try {
    const answer = await parts.issuer.token.answer(request.headers.authorization, body, proofIn(request));
    metrics.tokenRequest('ok');
    reply.hijack();
    writeToken(reply.raw, answer, forPage);
    return undefined;
  } catch (thrown) {
    const error = asOAuthError(parts, request, thrown);
    metrics.tokenRequest(error.code);
    throw error;
  }
}

/** Past the framework's own way of answering. */
function writeToken(response: ServerResponse, body: string, more: readonly string[]): void {
  const length = Buffer.byteLength(body);
  response.writeHead(200, [...more, ...TOKEN_HEADERS, String(length)]);
  // Node writes plain ASCII faster when it need not look for anything else.
  response.end(body, length === body.length ? 'latin1' : 'utf8');
}

export function oauthRoutes(routes: Routes, parts: HttpParts): void {
  const { issuer, settings } = parts;
  readForms(routes, parts);
  const json = (reply: FastifyReply, body: object, status = 200) =>
    reply.code(status).header('cache-control', 'no-store').header('pragma', 'no-cache').send(body);

  // RFC 8414 section 3.1: for an issuer with a path, the well-known part comes before it.
  const { pathname } = new URL(settings.publicUrl);
  for (const path of new Set(['', pathname.replace(/\/$/, '')])) {
    const url = `/.well-known/oauth-authorization-server${path}`;
    routes.get(url, { schema: { hide: true } }, async (_, reply) =>
      reply
        .header('cache-control', 'public, max-age=3600')
        .header('access-control-allow-origin', '*')
        .send(issuer.metadata),
    );
    pagesMayGet(routes, url);
  }

  const alsoForPages = (url: string, handler: Handler) => {
    onlyPost(routes, url, async (request, reply) => {
      setHeaders(reply, await pageHeaders(parts, request));
      return handler(request, reply);
    });
    pagesMayPost(routes, parts, url);
  };

  alsoForPages('/oauth/revoke', async (request, reply) => {
    await issuer.revoke(requestOf(request));
    return json(reply, {});
  });
  onlyPost(routes, '/oauth/introspect', async (request, reply) =>
    json(reply, await issuer.introspect(requestOf(request))),
  );
  alsoForPages('/oauth/par', async (request, reply) => {
    const { requestUri, expiresInS } = await issuer.push(requestOf(request));
    return json(reply, { request_uri: requestUri, expires_in: expiresInS }, 201);
  });
  onlyPost(routes, '/oauth/device_authorization', async (request, reply) => {
    const { deviceCode, userCode, expiresInS, intervalS } = await issuer.beginDevice(requestOf(request));
    const page = `${settings.publicUrl}/oauth/device`;
    return json(reply, {
      device_code: deviceCode,
      user_code: userCode,
      verification_uri: page,
      verification_uri_complete: `${page}?user_code=${userCode}`,
      expires_in: expiresInS,
      interval: intervalS,
    });
  });
}

type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown;

/** Other methods are an error of the client, in the words of OAuth (RFC 6749 section 3.2). */
function onlyPost(routes: Routes, url: string, handler: Handler): void {
  routes.route({ method: 'POST', url, schema: { hide: true }, handler });
  routes.route({
    method: ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE'],
    url,
    schema: { hide: true },
    handler: async (_, reply) => {
      reply.header('allow', 'POST');
      throw new OAuthError('invalid_request', { description: 'This address takes POST.', status: 405 });
    },
  });
}

function readForms(routes: Routes, parts: HttpParts): void {
  routes.removeAllContentTypeParsers();
  // Whatever it is declared as: what is wrong with that is said in the words of OAuth, once it is here.
  routes.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: MOST_FORM_BYTES }, (_, body, done) => {
    done(null, body);
  });
  routes.setErrorHandler((error, request, reply) => sendOAuthError(parts, request, reply, error));
}

/** A secret in an address would stand in every log on the way (RFC 6749 section 2.3.1). */
function formOf(request: FastifyRequest): Buffer {
  if (request.raw.url?.includes('?')) throw invalidRequest('Parameters belong into the body.');
  if (!isForm(request.headers['content-type'])) {
    throw invalidRequest(WRONG_TYPE);
  }
  return Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
}

function requestOf(request: FastifyRequest): OAuthRequest {
  const parameters = readForm(formOf(request));
  return { authorization: request.headers.authorization, parameters, dpop: proofIn(request), from: request.ip };
}

/** Several headers come joined, and are no proof. */
function proofIn({ headers }: FastifyRequest): string | undefined {
  return textOf(headers.dpop);
}
