/** What a person finds at the server's own address, and at the address of a grant that errors name as `renew_url`. */
import { isId } from '../core/id.ts';
import { html } from './html.ts';
import type { HttpParts, Routes } from './parts.ts';
import { type Page, resultPage, sendPage } from './pages.ts';

export function homeRoutes(routes: Routes, parts: HttpParts): void {
  routes.get('/', { schema: { hide: true } }, async (_, reply) => sendPage(reply, homePage(parts)));

  routes.get<{ Params: { grant: string } }>('/grants/:grant', { schema: { hide: true } }, async (request, reply) =>
    sendPage(reply, renewPage(request.params.grant)),
  );
}

function homePage({ settings }: HttpParts): Page {
  return resultPage(200, 'neutral', 'Evergrant is running', [
    html`<p>It keeps OAuth grants alive and hands out fresh access tokens. Version ${settings.version}.</p>`,
    html`<p>Look after grants with <code>evergrant grants list</code>, connect an account with
      <code>evergrant connect PROVIDER</code>, or use <a href="/docs">the HTTP API</a>.</p>`,
  ]);
}

/** Says the same whether the grant is there or not: without a sign-in, nobody learns which there are. */
function renewPage(grant: string): Page {
  const named = isId('grt', grant) ? grant : 'ALIAS';
  return resultPage(200, 'neutral', 'This grant needs a person', [
    html`<p>Somebody who looks after this server makes a link for you:</p>`,
    html`<p><code>evergrant grants renew ${named}</code></p>`,
    html`<p>It opens once, within ten minutes, and asks you to sign in at the provider again. Nothing changes for the
      programs that use this grant.</p>`,
  ]);
}
