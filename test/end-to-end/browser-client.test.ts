/** A page in a real browser gets tokens with the SDK, from its own origin, by a key that nobody can read. */
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { stripTypeScriptTypes } from 'node:module';
import type { AddressInfo } from 'node:net';
import { basename } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { World } from '../support/servers.ts';

const QUIET = ['--disable-quic', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const ARGS = ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', ...QUIET];

let world: World;
let browser: Browser;
let site: Server;
let port = 0;
let client: { readonly client_id: string; readonly refresh_tokens: { readonly eol: string } };

beforeAll(async () => {
  world = await World.create(9);
  await world.start();
  await world.connect('eol');
  // The SDK as it is, without its types, and an empty page.
  site = createServer(({ url = '' }, answer) => {
    if (!url.startsWith('/client/')) return answer.writeHead(200, { 'content-type': 'text/html' }).end('<p>A page');
    const source = readFileSync(new URL(`../../src/client/${basename(url)}`, import.meta.url), 'utf8');
    return answer.writeHead(200, { 'content-type': 'text/javascript' }).end(stripTypeScriptTypes(source));
  });
  await new Promise<void>((done) => {
    site.listen(0, '127.0.0.1', done);
  });
  ({ port } = site.address() as AddressInfo);
  const wish = { name: 'Page', type: 'public', grants: ['eol'], dpop_bound_refresh_tokens: true };
  const redirect_uris = [`http://127.0.0.1:${port}/callback`];
  client = (await world.api('POST', '/v1/clients', { ...wish, redirect_uris })).body as unknown as typeof client;
  browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ARGS });
});
afterAll(async () => {
  await browser?.close();
  site?.close();
  site?.closeAllConnections();
  await world?.close();
});

/** What the page says after it asked for a token; `key` names one that the page keeps. */
async function ask(page: Page, key: string): Promise<string> {
  const options = { server: world.origin, clientId: client.client_id, refreshToken: client.refresh_tokens.eol };
  // A text, for this file knows no browser's types.
  const script = `(async ({ options, key }) => {
    const { evergrant } = await import('/client/evergrant.ts');
    const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
    self[key] ??= await crypto.subtle.generateKey(algorithm, false, ['sign', 'verify']);
    const sdk = evergrant({ ...options, dpop: self[key], patience: 0 });
    return sdk.accessToken().catch((error) => error.code ?? error.name);
  })(${JSON.stringify({ options, key })})`;
  return page.evaluate(script) as Promise<string>;
}

test('[S127] a page gets the access token with its own key, again and again, and with no other key', async () => {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${port}/`);
  const token = ((await world.api('GET', '/v1/grants/eol/token')).body as unknown as { access_token: string })
    .access_token;
  for (let use = 0; use < 3; use++) expect(await ask(page, 'own')).toBe(token);
  expect(await ask(page, 'other')).toBe('invalid_grant');
});

test('a page of another origin learns nothing, not even why', async () => {
  const page = await browser.newPage();
  await page.goto(`http://localhost:${port}/`);
  expect(await ask(page, 'own')).toBe('NoAnswer');
});
