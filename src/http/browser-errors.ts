/** Errors on the browser's way, as pages. */
import type { FastifyRequest } from 'fastify';
import { ERRORS, type EvergrantError } from '../core/errors.ts';
import { spentLinkPage } from './authorize-page.ts';
import { otherBrowserPage } from './callback.ts';
import { html } from './html.ts';
import { type Page, remedyBox, resultPage } from './pages.ts';

/** Codes by which the keeper says that a link is used up, over, or unknown. */
const SPENT: ReadonlySet<string> = new Set(['not_found', 'link_used', 'link_expired', 'grant_revoked']);

export function browserErrorPage(request: FastifyRequest, error: EvergrantError): Page {
  if (error.code === 'another_browser') return otherBrowserPage();
  if (SPENT.has(error.code) && request.routeOptions.url !== undefined) return spentLinkPage(error);
  return resultPage(error.status, 'failed', ERRORS[error.code].title, [
    html`<p>${error.message}</p>`,
    remedyBox(error.details.remedy),
  ]);
}
