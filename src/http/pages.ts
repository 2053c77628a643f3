/**
 * The pages that a person sees on the way through an authorization. They stand alone: no script, no font and no
 * picture from elsewhere.
 */
import { createHash } from 'node:crypto';
import type { FastifyReply } from 'fastify';
import { Html, html } from './html.ts';
import { PAGE_STYLE } from './page-style.ts';
import { secureHeaders } from './security-headers.ts';

const STYLE_HASH = createHash('sha256').update(PAGE_STYLE).digest('base64');

export interface Page {
  readonly status: number;
  readonly title: string;
  readonly mood: 'ask' | 'done' | 'failed' | 'neutral';
  readonly body: Html;
  /** Where a form on it may lead; the browser applies this to redirects after the form as well. */
  readonly formAction?: string;
}

export function sendPage(reply: FastifyReply, page: Page): FastifyReply {
  const policy = [
    "default-src 'none'",
    `style-src 'sha256-${STYLE_HASH}'`,
    'img-src data:',
    `form-action ${page.formAction ?? "'none'"}`,
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
  reply.header('content-security-policy', policy).header('cache-control', 'no-store');
  secureHeaders(reply);
  return reply.code(page.status).type('text/html; charset=utf-8').send(pageText(page));
}

/** Two links of a chain; the second one is drawn over the first where they meet. */
const MARK = new Html(
  '<svg class="mark" viewBox="0 0 40 24" width="40" height="24" aria-hidden="true"><g fill="none" stroke="currentColor" stroke-width="3.2"><rect x="2.6" y="5" width="20" height="14" rx="7"/><path d="M20 5.1a7 7 0 0 1 4.4-.1h6a7 7 0 0 1 0 14h-6a7 7 0 0 1-6.9-6" stroke-linecap="round"/></g></svg>',
);

const ICON =
  'data:image/svg+xml,%3Csvg xmlns=%22http://www.w3.org/2000/svg%22 viewBox=%220 0 40 40%22%3E%3Cg fill=%22none%22 stroke=%22%231f7a55%22 stroke-width=%224%22%3E%3Crect x=%222.600%22 y=%2213%22 width=%2220%22 height=%2214%22 rx=%227%22/%3E%3Crect x=%2217.400%22 y=%2213%22 width=%2220%22 height=%2214%22 rx=%227%22/%3E%3C/g%3E%3C/svg%3E';

function pageText({ title, mood, body }: Page): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<meta name="color-scheme" content="light dark">
<title>${title} · Evergrant</title>
<link rel="icon" href="${new Html(ICON)}">
<style>${new Html(PAGE_STYLE)}</style>
</head>
<body>
<header>${MARK}<span>Evergrant</span></header>
<main class="${mood}">
${body}
</main>
</body>
</html>
`.text;
}

const SIGNS = {
  done: '<path d="m5 12.5 4.5 4.5L19 7.500"/>',
  failed: '<path d="M12 6v7.500M12 17.500v.1"/>',
  neutral: '<path d="M12 7.500v-.1M12 11v6.500"/>',
} as const;

/** A result: a sign, a headline, what happened, and what to do. */
export function resultPage(status: number, mood: keyof typeof SIGNS, title: string, body: readonly Html[]): Page {
  const sign = new Html(
    `<svg class="sign" viewBox="0 0 24 24" width="44" height="44" aria-hidden="true">${SIGNS[mood]}</svg>`,
  );
  return { status, title, mood, body: html`${sign}<h1>${title}</h1>${body}` };
}

/** What to do next, set apart. */
export function remedyBox(remedy: string): Html {
  return html`<section class="remedy"><h2>What to do</h2><p>${remedy}</p></section>`;
}
