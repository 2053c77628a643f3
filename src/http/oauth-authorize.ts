/**
 * `/oauth/authorize` and `/oauth/device`: where a person sees which client asks for what, and goes on to the provider.
 * Looking changes nothing; only the button on the page itself begins an authorization.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ErrorForClient } from '../issuer/authorization-request.ts';
import type { AskedView, Opened } from '../issuer/authorize.ts';
import { type Parameters, readParameters } from '../oauth/form.ts';
import { OAuthError } from '../oauth/oauth-error.ts';
import {
  formAction,
  foreignPage,
  isFromOwnPage,
  isOtherLoopbackName,
  pageSecret,
  row,
  scopeChips,
} from './authorize-page.ts';
import { browserCookieName, cookieOptions } from './browser-cookie.ts';
import { type Html, html } from './html.ts';
import type { HttpParts, Routes } from './parts.ts';
import { type Page, remedyBox, resultPage, sendPage } from './pages.ts';

export function oauthAuthorizeRoutes(routes: Routes, parts: HttpParts): void {
  const { issuer } = parts;

  routes.get('/oauth/authorize', { schema: { hide: true } }, async (request, reply) => {
    if (isOtherLoopbackName(parts, request)) return reply.redirect(`${parts.settings.publicUrl}${request.url}`, 302);
    return told(reply, async () => {
      const view = await issuer.authorize.view(queryOf(request));
      return sendPage(reply, askPage(parts, view, hidden('page', pageSecret(parts, request, reply, '/oauth'))));
    });
  });

  routes.post('/oauth/authorize', { schema: { hide: true } }, async (request, reply) => {
    if (!isFromOwnPage(parts, request)) return sendPage(reply, foreignPage());
    return told(reply, async () => goOn(parts, reply, await issuer.authorize.open(queryOf(request), request.ip)));
  });

  routes.get('/oauth/device', { schema: { hide: true } }, async (request, reply) => {
    if (isOtherLoopbackName(parts, request)) return reply.redirect(`${parts.settings.publicUrl}${request.url}`, 302);
    const code = queryOf(request).get('user_code');
    const secret = hidden('page', pageSecret(parts, request, reply, '/oauth'));
    if (code === undefined) return sendPage(reply, codePage());
    return told(reply, async () => {
      const view = await issuer.authorize.viewDevice(code, request.ip);
      return sendPage(reply, askPage(parts, view, html`${secret}${hidden('user_code', code)}`, code));
    });
  });

  routes.post('/oauth/device', { schema: { hide: true } }, async (request, reply) => {
    if (!isFromOwnPage(parts, request)) return sendPage(reply, foreignPage());
    const { user_code: code } = (request.body ?? {}) as { user_code?: string };
    return told(reply, async () => goOn(parts, reply, await issuer.authorize.openDevice(code ?? '', request.ip)));
  });
}

/** Errors go to the client where it is known for sure, else to the person. */
async function told(reply: FastifyReply, work: () => Promise<FastifyReply>): Promise<FastifyReply> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof ErrorForClient) return reply.header('cache-control', 'no-store').redirect(cause.location, 303);
    if (cause instanceof OAuthError) return sendPage(reply, errorPage(cause));
    throw cause;
  }
}

function queryOf(request: FastifyRequest): Parameters {
  const url = request.raw.url ?? '';
  const at = url.indexOf('?');
  return readParameters(at === -1 ? '' : url.slice(at + 1));
}

function goOn(parts: HttpParts, reply: FastifyReply, { location, browserCookie, maxAgeMs }: Opened): FastifyReply {
  const state = URL.parse(location)?.searchParams.get('state') ?? '';
  const maxAge = Math.ceil(maxAgeMs / 1000);
  reply.setCookie(browserCookieName(state), browserCookie, cookieOptions(parts, '/callback', maxAge));
  return reply.header('cache-control', 'no-store').redirect(location, 303);
}

function hidden(name: string, value: string): Html {
  return html`<input type="hidden" name="${name}" value="${value}">
`;
}

function askPage({ catalogue }: HttpParts, view: AskedView, fields: Html, userCode: string | null = null): Page {
  const { clientName, appName, alias, account, scope, redirectUri } = view;
  const provider = catalogue.get(view.provider);
  const providerName = provider?.name ?? view.provider;
  const title = `${clientName} asks for access to ${providerName}`;
  const lead =
    alias === null
      ? html`<strong>${clientName}</strong> asks for lasting access to an account of yours at ${providerName}.`
      : html`<strong>${clientName}</strong> asks for lasting access to <strong>${alias}</strong>, an account at ${providerName}.`;
  const body = html`<h1>${title}</h1>
<p class="lead">${lead}</p>
<dl>
${[
  ...(userCode === null
    ? []
    : [row('Code', html`<strong>${userCode}</strong><small>The device that asks shows this code.</small>`)]),
  ...(account === null ? [] : [row('Account', html`${account}<small>Please sign in with this one.</small>`)]),
  row('App', html`${appName}`),
  row('Access', scope.length > 0 ? scopeChips(scope) : html`what the app is registered for`),
  row(
    'Afterwards',
    redirectUri === null
      ? html`${clientName} goes on by itself`
      : html`your browser goes to <strong>${placeOf(redirectUri)}</strong>`,
  ),
]}
</dl>
<form method="post">
${fields}<button type="submit">Continue to ${providerName}</button>
</form>
<p class="aside">You sign in at ${providerName} itself, and can say no there. ${goOnOnlyIf(clientName, userCode)}</p>`;
  const target = redirectUri === null ? '' : ` ${sourceOf(redirectUri)}`;
  return { status: 200, title, mood: 'ask', body, formAction: `${formAction(provider)}${target}` };
}

/** Who sends somebody a code or a link wants an account on a device that is not theirs (RFC 8628 section 5.4). */
function goOnOnlyIf(clientName: string, userCode: string | null): Html {
  return userCode === null
    ? html`Go on only if you came here from ${clientName} yourself.`
    : html`Go on only if the code stands on a device of your own now, never because somebody sent you the code or this address.`;
}

/** A person knows a site by its host, and a program by its scheme. */
function placeOf(redirectUri: string): string {
  const { host, protocol } = new URL(redirectUri);
  return host === '' ? protocol.slice(0, -1) : host;
}

/** As a Content-Security-Policy names it: the browser follows the form's redirects to there as well. */
function sourceOf(redirectUri: string): string {
  const { host, protocol } = new URL(redirectUri);
  // The host of a program's own scheme may be written with signs that would end the rule.
  const isWeb = protocol === 'https:' || protocol === 'http:';
  return !isWeb || host.includes('[') ? protocol : `${protocol}//${host}`;
}

function codePage(): Page {
  const title = 'Connect a device';
  const body = html`<h1>${title}</h1>
<p class="lead">Type the code that the device or program shows.</p>
<form method="get">
<label for="code">Code</label>
<input id="code" name="user_code" autocomplete="off" autocapitalize="characters" spellcheck="false" required autofocus maxlength="16">
<button type="submit">Go on</button>
</form>
<p class="aside">Small letters do as well, and the hyphen can be left out.</p>`;
  return { status: 200, title, mood: 'ask', body, formAction: "'self'" };
}

function errorPage(error: OAuthError): Page {
  if (error.code === 'expired_token') {
    return resultPage(404, 'neutral', 'This code does not work', [
      html`<p>It was used already, is too old, or was mistyped.</p>`,
      remedyBox('Check it, or let the device show a new one.'),
      html`<p><a href="device">Type it again</a></p>`,
    ]);
  }
  if (error.code === 'temporarily_unavailable') {
    return resultPage(503, 'neutral', 'Too much at once', [
      html`<p>Too many authorizations are under way, or too many wrong codes were typed.</p>`,
      remedyBox('Try again in a few minutes.'),
    ]);
  }
  return resultPage(400, 'failed', 'The request is not right', [
    html`<p>${error.message}</p>`,
    remedyBox('Tell the makers of the program that sent you here. Nothing was connected or changed.'),
  ]);
}
