/**
 * `/authorize/{ticket}`: the page behind an authorization link. Looking at it changes nothing, so a preview of the link
 * does no harm; only the button uses it up, and only on this page itself.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Provider } from '../catalogue/provider.ts';
import type { EvergrantError } from '../core/errors.ts';
import { type Instant, toRfc3339 } from '../core/instant.ts';
import type { AuthorizationView } from '../keeper/keeper.ts';
import { browserCookieName, cookieOptions } from './browser-cookie.ts';
import { Html, html } from './html.ts';
import type { HttpParts, Routes } from './parts.ts';
import { type Page, remedyBox, resultPage, sendPage } from './pages.ts';

interface TicketRoute {
  Params: { ticket: string };
}

/** A link preview or another site cannot know it: the page's own form sends it along with the cookie. */
const PAGE_COOKIE = 'evergrant_page';
const PAGE_SECRET_BYTES = 18;
const LABELS_SHOWN = 6;

export function authorizeRoutes(routes: Routes, parts: HttpParts): void {
  routes.get<TicketRoute>('/authorize/:ticket', { schema: { hide: true } }, async (request, reply) => {
    if (isOtherLoopbackName(parts, request)) return reply.redirect(`${parts.settings.publicUrl}${request.url}`, 302);
    const view = await parts.keeper.authorizations.view(request.params.ticket);
    const secret = pageSecret(parts, request, reply);
    const provider = parts.catalogue.get(view.grant.provider);
    return sendPage(reply, askPage(view, secret, provider, parts.clock.now()));
  });

  routes.post<TicketRoute>('/authorize/:ticket', { schema: { hide: true } }, async (request, reply) => {
    if (!isFromOwnPage(parts, request)) return sendPage(reply, foreignPage());
    const { location, browserCookie, maxAgeMs } = await parts.keeper.authorizations.open(request.params.ticket);
    const state = URL.parse(location)?.searchParams.get('state') ?? '';
    const maxAge = Math.ceil(maxAgeMs / 1000);
    reply.setCookie(browserCookieName(state), browserCookie, cookieOptions(parts, '/callback', maxAge));
    return reply.header('cache-control', 'no-store').redirect(location, 303);
  });
}

const LOOPBACK_NAMES = ['localhost', '127.0.0.1', '[::1]'];

/**
 * Whether the browser came by another name of this machine than the public URL has. The provider sends it back to the
 * public URL, where a cookie of the other name would be missing. Beyond loopback a proxy may rewrite the name, and it is
 * not looked at.
 */
export function isOtherLoopbackName({ settings }: HttpParts, request: FastifyRequest): boolean {
  const { hostname, port } = new URL(settings.publicUrl);
  if (!LOOPBACK_NAMES.includes(hostname)) return false;
  return LOOPBACK_NAMES.some((name) => name !== hostname && request.headers.host === `${name}:${port}`);
}

export function pageSecret(
  parts: HttpParts,
  request: FastifyRequest,
  reply: FastifyReply,
  path = '/authorize',
): string {
  const earlier = request.cookies[PAGE_COOKIE];
  if (earlier && /^[\w-]{24}$/.test(earlier)) return earlier;
  const secret = Buffer.from(parts.random.bytes(PAGE_SECRET_BYTES)).toString('base64url');
  reply.setCookie(PAGE_COOKIE, secret, { ...cookieOptions(parts, path, 3600), sameSite: 'strict' });
  return secret;
}

/**
 * Whether the form was sent by our own page. Browsers say so in Sec-Fetch-Site on https and on this machine, or else in
 * Origin; where a browser sends neither, the secret of the page's cookie must be in the form.
 */
export function isFromOwnPage({ settings }: HttpParts, request: FastifyRequest): boolean {
  const { 'sec-fetch-site': site, origin } = request.headers;
  if (origin !== undefined && origin !== 'null' && origin !== new URL(settings.publicUrl).origin) return false;
  if (site !== undefined) return site === 'same-origin';
  if (origin !== undefined && origin !== 'null') return true;
  const cookie = request.cookies[PAGE_COOKIE];
  const { page } = (request.body ?? {}) as { page?: unknown };
  return cookie !== undefined && cookie !== '' && cookie === page;
}

function askPage(view: AuthorizationView, secret: string, provider: Provider | null, now: Instant): Page {
  const { grant, providerName, appName, isRenewal } = view;
  const title = isRenewal ? `Renew access to ${providerName}` : `Connect ${providerName}`;
  const who = grant.owner ?? 'The operator of this server';
  const lead = isRenewal
    ? html`The connection <strong>${grant.alias}</strong> to ${providerName} needs your consent once more.`
    : html`<strong>${who}</strong> asks for lasting access to an account at ${providerName}.`;
  const body = html`<h1>${title}</h1>
<p class="lead">${lead}</p>
<dl>
${rows(view, now)}
</dl>
<form method="post">
<input type="hidden" name="page" value="${secret}">
<button type="submit">Continue to ${providerName}</button>
</form>
<p class="aside">You sign in at ${providerName} itself, and can say no there. Go on only if you expected this request, through the app ${appName}.</p>`;
  return { status: 200, title, mood: 'ask', body, formAction: formAction(provider) };
}

function rows(view: AuthorizationView, now: Instant): Html[] {
  const { grant, appName, scope, returnUrl, expiresAt } = view;
  const labels = Object.entries(grant.labels).slice(0, LABELS_SHOWN);
  const account = grant.account && (grant.account.label ?? grant.account.subject);
  return [
    row('Connection', html`${grant.alias}`),
    ...(labels.length > 0 ? [row('Labels', scopeChips(labels.map(([key, value]) => `${key}=${value}`)))] : []),
    ...(account ? [row('Account', html`${account}<small>Please sign in with this one.</small>`)] : []),
    row('App', html`${appName}`),
    row('Access', scope.length > 0 ? scopeChips(scope) : html`what the app is registered for`),
    ...(returnUrl ? [row('Afterwards', html`your browser goes to <strong>${new URL(returnUrl).host}</strong>`)] : []),
    row('This link', html`works once, ${untilWhen(expiresAt, now)}`),
  ];
}

export function row(name: string, value: Html): Html {
  return html`<div><dt>${name}</dt><dd>${value}</dd></div>
`;
}

export function scopeChips(texts: readonly string[]): Html {
  return html`<ul class="chips">${texts.map((text) => html`<li>${breakable(text)}</li>`)}</ul>`;
}

/** Long names of scopes break where they have parts. */
function breakable(text: string): readonly Html[] {
  return text.split(/(?<=[./:_-])(?=[^./:_-]{3})/).map((part, i) => html`${i === 0 ? null : new Html('<wbr>')}${part}`);
}

function untilWhen(expiresAt: Instant, now: Instant): string {
  const minutes = Math.max(1, Math.floor((expiresAt - now) / 60_000));
  return `for ${minutes} more ${minutes === 1 ? 'minute' : 'minutes'} (until ${toRfc3339(expiresAt).slice(11, 16)} UTC)`;
}

/** The provider may send the browser on to a login page of any host, so the scheme is all that can be said. */
export function formAction(provider: Provider | null): string {
  return provider?.reach === 'local' ? "'self' https: http:" : "'self' https:";
}

export function foreignPage(): Page {
  return resultPage(403, 'failed', 'This request came from another page', [
    html`<p>For your safety an authorization is only begun by the button on its own page. Nothing has happened.</p>`,
    remedyBox('Open the link you were given, in this browser, and use the button there.'),
  ]);
}

/** For a ticket that was used, is over, or never was. */
export function spentLinkPage(error: EvergrantError): Page {
  return resultPage(error.status, 'neutral', 'This link does not work any more', [
    html`<p>An authorization link works once, and for ten minutes. This one was used already, is too old, or was not copied whole.</p>`,
    remedyBox('Ask whoever sent it for a new one. If that is you: evergrant grants renew, and open the new link.'),
  ]);
}
