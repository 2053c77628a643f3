/**
 * The server's outer wall: one Fastify instance, three groups of routes. What is asked for all the time is answered
 * before Fastify sees it, where memory has the answer; the API wants a key and answers with problems; the browser's
 * pages answer with pages.
 */
import { createServer, type ServerOptions } from 'node:http';
import type { Socket } from 'node:net';
import cookie from '@fastify/cookie';
import Fastify, { type FastifyError, type FastifyReply, type FastifyRequest } from 'fastify';
import { serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod';
import { EvergrantError } from '../core/errors.ts';
import { apiKeyRoutes } from './api-keys.ts';
import { appRoutes } from './apps.ts';
import { ARRIVAL, Arrivals } from './arrival.ts';
import { authenticate } from './authentication.ts';
import { authorizationPasteRoutes } from './authorization-paste.ts';
import { authorizeRoutes } from './authorize-page.ts';
import { browserErrorPage } from './browser-errors.ts';
import { callbackRoutes } from './callback.ts';
import { clientRoutes } from './clients.ts';
import { refuseEncoded } from './content-coding.ts';
import { diagnoseRoutes } from './diagnose.ts';
import { docsRoutes } from './docs-page.ts';
import { grantRoutes } from './grants.ts';
import { healthRoutes } from './health.ts';
import { historyRoutes } from './history.ts';
import { homeRoutes } from './home-page.ts';
import { guardPosts } from './idempotency.ts';
import { journalRoutes } from './journal.ts';
import { readJson } from './json-body.ts';
import { type Metrics, metricsRoutes } from './metrics.ts';
import { oauthAuthorizeRoutes } from './oauth-authorize.ts';
import { oauthRoutes, oauthTokenRoutes } from './oauth-endpoints.ts';
import { describeRoutes, openapiRoutes } from './openapi.ts';
import { sendPage } from './pages.ts';
import type { HttpParts, Routes } from './parts.ts';
import { asEvergrantError, invalidRequest, notFound, sendProblem } from './problem.ts';
import { providerRoutes } from './providers.ts';
import { proxyRoutes } from './proxy.ts';
import { secureHeaders } from './security-headers.ts';
import { namesOneHost, withShortcuts } from './shortcuts.ts';
import { refreshRoutes, tokenRoutes } from './tokens.ts';
import { vaultRoutes } from './vault.ts';

const MOST_BODY_BYTES = 1_048_576;
const MOST_FORM_BYTES = 16_384;
const LONGEST_PATH_PART = 512;
const KEEP_ALIVE_MS = 72_000;

/** A server that is ready to `listen` or to `inject`. */
export async function buildServer(parts: HttpParts): Promise<Routes> {
  const arrivals = new Arrivals(parts.clock, parts.arrival ?? ARRIVAL);
  const app = frame(parts, arrivals);
  const known: KnownRoute[] = [];
  app.addHook('onRoute', ({ method, url }) => {
    known.push({ methods: [method].flat(), path: pathPattern(url) });
  });
  const all = parts.shared.metrics;
  if (parts.surface === 'all' || parts.surface === 'no-proxy') {
    await describeRoutes(app, parts);
    await app.register(async (routes) => tokenRoutes(routes, parts));
    await app.register(async (routes) => oauthTokenRoutes(routes, parts));
    await app.register(async (routes) => {
      measure(routes, parts, all);
      oauthRoutes(routes, parts);
    });
    await app.register(async (routes) => apiGroup(routes, parts, all));
    await app.register(async (routes) => {
      measure(routes, parts, all);
      vaultRoutes(routes, parts);
    });
    await app.register(async (routes) => describedGroup(routes, parts, all));
  }
  await app.register(async (routes) => {
    measure(routes, parts, all);
    healthRoutes(routes, parts);
  });
  if (parts.surface === 'all' || parts.surface === 'proxy') {
    await app.register(async (routes) => proxyRoutes(routes, parts, all, arrivals));
  }
  if (parts.surface !== 'proxy') await app.register(async (routes) => browserGroup(routes, parts, all));
  app.setNotFoundHandler((request, reply) => sendProblem(parts, request, reply, nothingAt(known, request, reply)));
  await app.ready();
  return app;
}

function frame(parts: HttpParts, arrivals: Arrivals): Routes {
  const { trustedProxies } = parts.settings;
  const { headMs, wholeMs, everyMs } = parts.arrival ?? ARRIVAL;
  const options: ServerOptions = {
    headersTimeout: headMs,
    requestTimeout: wholeMs,
    connectionsCheckingInterval: everyMs,
    keepAliveTimeout: KEEP_ALIVE_MS,
    // Of two keys, clients or types, Node would take the first and whoever stands in front perhaps the last.
    joinDuplicateHeaders: true,
  };
  const app = Fastify({
    logger: false,
    bodyLimit: MOST_BODY_BYTES,
    serverFactory: (framework) => createServer(options, withShortcuts(parts, framework)),
    clientErrorHandler: (error, socket) => arrivals.refuse(error, socket),
    trustProxy: trustedProxies.length > 0 ? [...trustedProxies] : false,
    return503OnClosing: false,
    routerOptions: { maxParamLength: LONGEST_PATH_PART },
    frameworkErrors: (error: FastifyError, request: FastifyRequest, reply: FastifyReply) =>
      sendProblem(parts, request, reply, error),
  }).withTypeProvider<ZodTypeProvider>();
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  app.setErrorHandler((error, request, reply) => sendProblem(parts, request, reply, error));
  endConnectionsSoon(app);
  // RFC 9112, 3.2: whoever stands in front may have taken the other one.
  app.addHook('onRequest', ({ headers }, _, done) => {
    done(namesOneHost(headers) ? undefined : invalidRequest('The request names more than one host.'));
  });
  refuseEncoded(app);
  app.decorateRequest('caller', null);
  app.decorateRequest('reservation', null);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_, body, done) => {
    try {
      done(null, readJson(body as Buffer));
    } catch (error) {
      done(error as Error);
    }
  });
  return app;
}

/**
 * Connections that had a request are closed with the server; one whose last answer is still under way ends soon after
 * it, rather than after the minute for which clients may keep one open. Those on which nothing ever came are for Node as
 * good as one whose request is arriving.
 */
function endConnectionsSoon(app: Routes): void {
  const open = new Set<Socket>();
  app.server.on('connection', (socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
  app.addHook('preClose', async () => {
    app.server.keepAliveTimeout = 1;
    for (const socket of open) if (socket.bytesRead === 0) socket.destroy();
  });
}

/** `/v1`: with a key, and POSTs that can be repeated. */
function apiGroup(routes: Routes, parts: HttpParts, all: Metrics): void {
  measure(routes, parts, all);
  routes.addHook('onRequest', async (request) => {
    request.caller = await authenticate(parts, request, request.routeOptions.config.scope ?? 'admin');
  });
  guardPosts(routes, parts);
  appRoutes(routes, parts);
  grantRoutes(routes, parts);
  refreshRoutes(routes, parts);
  historyRoutes(routes, parts);
  authorizationPasteRoutes(routes, parts);
  apiKeyRoutes(routes, parts);
  clientRoutes(routes, parts);
  providerRoutes(routes, parts);
  diagnoseRoutes(routes, parts);
  journalRoutes(routes, parts);
}

/** What describes the server: open on this machine, with a key beyond it. */
function describedGroup(routes: Routes, parts: HttpParts, all: Metrics): void {
  measure(routes, parts, all);
  routes.addHook('onRequest', async (request) => {
    if (parts.settings.listensBeyondLoopback) await authenticate(parts, request, 'admin');
  });
  metricsRoutes(routes, all);
  openapiRoutes(routes);
  docsRoutes(routes);
}

/** Pages for people: errors are pages as well, and forms are read. */
async function browserGroup(routes: Routes, parts: HttpParts, all: Metrics): Promise<void> {
  measure(routes, parts, all);
  await routes.register(cookie);
  routes.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string', bodyLimit: MOST_FORM_BYTES },
    (_, body, done) => done(null, Object.fromEntries(new URLSearchParams(String(body)))),
  );
  routes.setErrorHandler((error, request, reply) =>
    sendPage(reply, browserErrorPage(request, asEvergrantError(parts, request, error))),
  );
  homeRoutes(routes, parts);
  authorizeRoutes(routes, parts);
  callbackRoutes(routes, parts);
  oauthAuthorizeRoutes(routes, parts);
}

/** Headers, durations and a line in the log at level debug. Paths are logged as patterns: a ticket is a secret. */
function measure(routes: Routes, { log }: HttpParts, all: Metrics): void {
  routes.addHook('onRequest', async (_, reply) => secureHeaders(reply));
  routes.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none';
    all.request(request.method, route, reply.statusCode, reply.elapsedTime / 1000);
    log.debug('answered', {
      method: request.method,
      route,
      status: reply.statusCode,
      ms: Math.round(reply.elapsedTime),
    });
  });
}

interface KnownRoute {
  readonly methods: readonly string[];
  readonly path: RegExp;
}

function pathPattern(url: string): RegExp {
  const escaped = url.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll(/:[a-z]+/g, '[^/]+');
  return new RegExp(`^${escaped.replaceAll('*', '.*')}$`);
}

/** 405 where the address is known with other methods, else 404. */
function nothingAt(known: readonly KnownRoute[], request: FastifyRequest, reply: FastifyReply): EvergrantError {
  const path = request.url.split('?')[0] ?? '';
  const methods = new Set(known.filter((route) => route.path.test(path)).flatMap((route) => route.methods));
  if (methods.size === 0 || methods.has(request.method)) return notFound('There is nothing at this address.');
  const allow = [...methods].toSorted().join(', ');
  reply.header('allow', allow);
  return new EvergrantError('method_not_allowed', `This address takes ${allow}.`, {
    remedy: 'Use one of these methods; /openapi.json lists what each does.',
  });
}
