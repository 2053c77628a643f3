/** `/docs`: the endpoints and the errors, on one page that stands alone. */
import { ERRORS } from '../core/errors.ts';
import { type Html, html } from './html.ts';
import type { Routes } from './parts.ts';
import { sendPage } from './pages.ts';

interface Operation {
  readonly summary?: string;
}

/** What is not of the API of keys: its rules are those of OAuth, or of the provider. */
const OTHERS = {
  'GET /.well-known/oauth-authorization-server': 'What an OAuth client finds here, for its library (RFC 8414)',
  'GET /oauth/authorize': "Connect a client's user: authorization code with PKCE",
  'POST /oauth/token':
    'An access token for a client: by code, device code, refresh token, its own credentials, or exchange',
  'POST /oauth/par': 'Push an authorization request (RFC 9126)',
  'POST /oauth/device_authorization': 'Connect a device without a browser (RFC 8628)',
  'POST /oauth/revoke': 'End a refresh token (RFC 7009)',
  'POST /oauth/introspect': 'Tell a client about its own tokens (RFC 7662)',
  'ANY /proxy/{grant}/…': "The provider's API with the access token of the grant",
};

export function docsRoutes(routes: Routes): void {
  routes.get('/docs', { schema: { hide: true } }, async (_, reply) => {
    const paths = Object.entries(routes.swagger().paths ?? {});
    const endpoints = paths.flatMap(([path, methods]) =>
      Object.entries(methods as Record<string, Operation>).map(([method, operation]) => {
        return entry(`${method.toUpperCase()} ${path}`, operation.summary ?? '');
      }),
    );
    const errors = Object.entries(ERRORS).map(
      ([code, { status, title }]) =>
        html`<div class="wide" id="${code}"><dt><code>${code}</code> ${status}</dt><dd>${title}</dd></div>`,
    );
    const body = html`<h1>The API of this server</h1>
<p class="lead">Send <code>Authorization: Bearer KEY</code>. The whole description, for tools: <a href="openapi.json">openapi.json</a>.</p>
<h2>Endpoints</h2><dl>${endpoints}</dl>
<h2>For OAuth clients, and the proxy</h2><dl>${Object.entries(OTHERS).map(([name, about]) => entry(name, about))}</dl>
<h2>Errors</h2><dl>${errors}</dl>`;
    return sendPage(reply, { status: 200, title: 'API', mood: 'neutral', body });
  });
}

function entry(name: string, about: string): Html {
  return html`<div class="wide"><dt><code>${name}</code></dt><dd>${about}</dd></div>`;
}
