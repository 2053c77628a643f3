/** `/docs`: the endpoints and the errors, on one page that stands alone. */
import { ERRORS } from '../core/errors.ts';
import { html } from './html.ts';
import type { Routes } from './parts.ts';
import { sendPage } from './pages.ts';

interface Operation {
  readonly summary?: string;
}

export function docsRoutes(routes: Routes): void {
  routes.get('/docs', { schema: { hide: true } }, async (_, reply) => {
    const paths = Object.entries(routes.swagger().paths ?? {});
    const endpoints = paths.flatMap(([path, methods]) =>
      Object.entries(methods as Record<string, Operation>).map(([method, operation]) => {
        const name = `${method.toUpperCase()} ${path}`;
        return html`<div class="wide"><dt><code>${name}</code></dt><dd>${operation.summary ?? ''}</dd></div>`;
      }),
    );
    const errors = Object.entries(ERRORS).map(
      ([code, { status, title }]) =>
        html`<div class="wide" id="${code}"><dt><code>${code}</code> ${status}</dt><dd>${title}</dd></div>`,
    );
    const body = html`<h1>The API of this server</h1>
<p class="lead">Send <code>Authorization: Bearer KEY</code>. The whole description, for tools: <a href="openapi.json">openapi.json</a>.</p>
<h2>Endpoints</h2><dl>${endpoints}</dl>
<h2>Errors</h2><dl>${errors}</dl>`;
    return sendPage(reply, { status: 200, title: 'API', mood: 'neutral', body });
  });
}
