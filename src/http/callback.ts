/**
 * `/callback`: where providers send the browser back to. It works only with the cookie of the browser that opened the
 * authorization. A reload shows the same page.
 */
import type { FastifyReply } from 'fastify';
import { Secret } from '../core/secret.ts';
import type { AuthorizationOutcome, CallbackParameters } from '../keeper/keeper.ts';
import { browserCookieName } from './browser-cookie.ts';
import { type Html, html } from './html.ts';
import type { HttpParts, Routes } from './parts.ts';
import { type Page, remedyBox, resultPage, sendPage } from './pages.ts';

const LONGEST_PARAMETER = 8_192;

/** What a provider sent back. A parameter that comes twice (RFC 6749 section 3.1) or is absurdly long counts as none. */
export function callbackParameters(query: URLSearchParams): CallbackParameters {
  const one = (name: string): string | null => {
    const values = query.getAll(name);
    const [value] = values;
    return value === undefined || values.length > 1 || value.length > LONGEST_PARAMETER ? null : value;
  };
  const code = one('code');
  return {
    state: one('state'),
    code: code === null ? null : new Secret('authorization code', code),
    error: one('error'),
    errorDescription: one('error_description'),
    iss: one('iss'),
  };
}

export function callbackRoutes(routes: Routes, parts: HttpParts): void {
  // No HEAD: only a browser that shows the answer may finish an authorization.
  routes.get('/callback', { schema: { hide: true }, exposeHeadRoute: false }, async (request, reply) => {
    const callback = callbackParameters(new URLSearchParams(request.raw.url?.split('?')[1] ?? ''));
    if (callback.state === null) return sendPage(reply, nothingHere());
    const cookie = request.cookies[browserCookieName(callback.state)];
    if (!cookie) return sendPage(reply, otherBrowserPage());
    const { outcome, onward } = await parts.shared.returns.finish(callback, cookie);
    if (onward?.location != null) return reply.header('cache-control', 'no-store').redirect(onward.location, 303);
    return show(reply, parts, onward ? { ...outcome, returnUrl: null } : outcome);
  });
}

function show(reply: FastifyReply, parts: HttpParts, outcome: AuthorizationOutcome): FastifyReply {
  if (outcome.outcome === 'failed') return sendPage(reply, failedPage(outcome));
  if (outcome.returnUrl === null) return sendPage(reply, donePage(parts, outcome));
  const { id, alias } = outcome.grant;
  const location = withParameters(outcome.returnUrl, { outcome: 'done', grant: id, alias });
  return reply.header('cache-control', 'no-store').redirect(location, 303);
}

function withParameters(url: string, parameters: Readonly<Record<string, string>>): string {
  const target = new URL(url);
  for (const [name, value] of Object.entries(parameters)) target.searchParams.set(name, value);
  return target.href;
}

function donePage({ catalogue }: HttpParts, { grant, joined }: AuthorizationOutcome & { outcome: 'done' }): Page {
  const account = grant.account && (grant.account.label ?? grant.account.subject);
  const provider = catalogue.get(grant.provider)?.name ?? grant.provider;
  const what = account
    ? html`<p><strong>${account}</strong> at ${provider} is connected as <strong>${grant.alias}</strong>.</p>`
    : html`<p>Your account at ${provider} is connected as <strong>${grant.alias}</strong>.</p>`;
  const renewed = html`<p>This account had been connected before. That connection now goes on with your new consent.</p>`;
  const missing = html`<p>Not everything that was asked for was granted. Missing: ${grant.scope.missing.join(', ')}.</p>`;
  return resultPage(200, 'done', 'Connected', [
    what,
    ...(joined ? [renewed] : []),
    ...(grant.scope.missing.length > 0 ? [missing] : []),
    html`<p class="aside">Access is kept alive from here on. You can close this window.</p>`,
  ]);
}

function failedPage({ reason, remedy, returnUrl }: AuthorizationOutcome & { outcome: 'failed' }): Page {
  return resultPage(422, 'failed', 'Not connected', [
    html`<p>${reason}</p>`,
    remedyBox(remedy),
    ...(returnUrl === null ? [] : [backLink(returnUrl)]),
  ]);
}

function backLink(returnUrl: string): Html {
  const url = withParameters(returnUrl, { outcome: 'failed' });
  return html`<p><a href="${url}">Back to ${new URL(returnUrl).host}</a></p>`;
}

export function otherBrowserPage(): Page {
  return resultPage(403, 'neutral', 'Finish in the browser where you began', [
    html`<p>An authorization can only be finished by the browser that opened its link. This is another one, or too much time has passed. Nothing was connected or changed.</p>`,
    remedyBox('Open the authorization link in this browser and go through to the end, or ask for a new link.'),
    html`<p class="aside">If a terminal asked you for the address at which the browser ends: this is the page. Copy its whole address there.</p>`,
  ]);
}

function nothingHere(): Page {
  return resultPage(400, 'neutral', 'Nothing to finish here', [
    html`<p>Providers send a browser to this address at the end of an authorization. What came now names none.</p>`,
    remedyBox('Begin with the authorization link you were given.'),
  ]);
}
