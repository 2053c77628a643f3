/**
 * The proof on real input: the real server, a real browser, and an authorization server that others wrote and had
 * certified. It rotates at every exchange and ends the whole grant when a refresh token comes twice.
 */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { EvergrantProcess, freePort, type Json, until } from './support/oidc-evergrant.ts';
import {
  ACCESS_TOKEN_LIFE_S,
  type CertifiedServer,
  certifiedServer,
  passwordOf,
  type Registration,
} from './support/oidc-server.ts';

const QUIET = ['--disable-quic', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const ARGS = ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', ...QUIET];
const BUILT_IN = join(import.meta.dirname, '../../providers/oidc.json');

/** Id and secret with all that must be encoded in a header (RFC 6749 section 2.3.1). */
const BOOKS: Registration = { clientId: 'books:2', clientSecret: 'odd +/%:&= but "allowed" ~' };
const STOCK: Registration = { clientId: 'stock', clientSecret: 'plain-secret-of-stock' };

let folder: string;
let upstream: CertifiedServer;
let evergrant: EvergrantProcess;
let browser: Browser;
/** The app at the certified server that most tests share. */
let app: string;
const contexts: BrowserContext[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'evergrant-test-'));
  browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ARGS });
  const port = await freePort();
  upstream = await certifiedServer(`http://127.0.0.1:${port}/callback`, [BOOKS, STOCK]);
  const providers = join(folder, 'providers');
  await mkdir(providers);
  const generic = JSON.parse(await readFile(BUILT_IN, 'utf8')) as Json;
  await writeFile(join(providers, 'generic.json'), JSON.stringify({ ...generic, id: 'oidc-here' }));
  await writeFile(join(providers, 'certified.json'), JSON.stringify(certifiedFile()));
  evergrant = new EvergrantProcess(port, join(folder, 'data'), providers);
  await evergrant.start();
  app = await newApp('certified', BOOKS);
});

afterEach(async () => {
  for (const context of contexts.splice(0)) await context.close();
});

afterAll(async () => {
  await browser?.close();
  await evergrant?.end();
  await upstream?.close();
  await rm(folder, { recursive: true });
});

/** What an operator writes: where the issuer is, and what it wants to be asked. All else is discovered. */
function certifiedFile(): Json {
  return {
    id: 'certified',
    name: 'Certified Server',
    issuer: upstream.issuer,
    authorization_parameters: { prompt: 'consent' },
    scope: { default: ['openid', 'profile'], for_refresh_token: 'offline_access' },
  };
}

async function newApp(provider: string, { clientId, clientSecret }: Registration, variables?: Json): Promise<string> {
  const { status, body } = await evergrant.call('POST', '/v1/apps', {
    provider,
    client_id: clientId,
    client_secret: clientSecret,
    ...(variables ? { variables } : {}),
  });
  expect({ status, body }).toMatchObject({ status: 201 });
  return String(body.id);
}

async function newPage(): Promise<Page> {
  const context = await browser.newContext();
  contexts.push(context);
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  return page;
}

async function beginGrant(alias: string, more: Json = {}): Promise<{ id: string; link: string }> {
  const { status, body } = await evergrant.call('POST', '/v1/grants', { app, alias, ...more });
  expect({ status, body }).toMatchObject({ status: 201, body: { state: 'pending' } });
  return { id: String(body.id), link: String(body.authorization_url) };
}

/** As a person who signs in and then allows or denies. */
async function signIn(page: Page, login: string): Promise<void> {
  await page.getByLabel('Login').fill(login);
  await page.getByLabel('Password').fill(passwordOf(login));
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Consent' }).waitFor();
}

/** From the link to the page with this heading. */
async function goThrough(page: Page, link: string, login: string, ending: string): Promise<void> {
  await page.goto(link);
  await page.getByRole('button', { name: /Continue to/ }).click();
  await signIn(page, login);
  await page.getByRole('button', { name: 'Allow' }).click();
  await page.getByRole('heading', { name: ending }).waitFor();
}

/** A grant of an account that no other test uses. */
async function connected(login: string): Promise<string> {
  const { id, link } = await beginGrant(login);
  await goThrough(await newPage(), link, login, 'Connected');
  return id;
}

/** Up to the address that the browser would be sent back to, without following it. */
async function returnUrlOf(page: Page, link: string, login: string): Promise<string> {
  await page.goto(link);
  await page.getByRole('button', { name: /Continue to/ }).click();
  await signIn(page, login);
  const { request } = page.context();
  let next = await request.post(page.url(), { form: { answer: 'allow' }, maxRedirects: 0 });
  for (;;) {
    const location = next.headers().location ?? '';
    if (location.startsWith(evergrant.url)) return location;
    if (location === '') throw new Error(`The certified server answered ${next.status()}: ${await next.text()}`);
    next = await request.get(location, { maxRedirects: 0 });
  }
}

async function grantOf(id: string): Promise<Json> {
  return (await evergrant.call('GET', `/v1/grants/${id}`)).body;
}

/** A token with at least this life, which the certified server accepts. */
async function workingToken(id: string, minTtl = 1): Promise<string> {
  const { status, body } = await evergrant.call('POST', `/v1/grants/${id}/token`, { min_ttl: minTtl });
  expect({ status, body }).toMatchObject({ status: 200 });
  const token = String(body.access_token);
  expect(await upstream.userinfo(token)).toBe(200);
  return token;
}

async function refresh(id: string): Promise<string> {
  const { status, body } = await evergrant.call('POST', `/v1/grants/${id}/refresh`);
  expect({ status, body }).toMatchObject({ status: 200 });
  return String(body.access_token);
}

/** What the certified server saw since; no refusal, and no refresh token twice. */
function expectUnbroken(since: number, exchanges: unknown): void {
  const exchanged = upstream.seen.slice(since).filter((one) => one.grantType === 'refresh_token');
  expect(exchanged.filter((one) => one.refusedBecause !== null)).toEqual([]);
  expect(new Set(exchanged.map((one) => one.presented)).size).toBe(exchanged.length);
  expect(exchanged.length).toBe(exchanges);
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}

function linesOf(text: string): readonly Json[] {
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Json);
}

test('the built-in generic provider takes no issuer on this machine, and says where such a one belongs', async () => {
  const body = { provider: 'oidc', client_id: 'x', client_secret: 'y', variables: { issuer: upstream.issuer } };
  const refused = await evergrant.call('POST', '/v1/apps', body);
  expect(refused).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
  expect(refused.body.detail).toContain(upstream.issuer);
  expect(refused.body.remedy).toContain('--providers');
});

test('a person connects an account with one click and a sign-in, and the page names the account', async () => {
  const { id, link } = await beginGrant('named', { owner: 'Books Ltd' });
  const page = await newPage();
  await goThrough(page, link, 'ada', 'Connected');
  expect(await page.getByRole('main').textContent()).toContain('ada at Certified Server is connected as named.');
  expect(await grantOf(id)).toMatchObject({
    state: 'active',
    generation: 1,
    account: { subject: 'account-ada', label: 'ada' },
    scope: { granted: ['openid', 'profile', 'offline_access'], missing: [] },
  });
  await workingToken(id);
});

test('20 callers at every expiry get tokens that work, and no refresh token is ever presented twice', async () => {
  const id = await connected('busy');
  const since = upstream.seen.length;
  const tokens = new Set<string>();
  await until('there were 20 exchanges', 100_000, async () => {
    const known = tokens.size;
    // Half the life of a token must be left, so a new one is due while the old one still works.
    const answers = await Promise.all(Array.from({ length: 20 }, () => workingToken(id, ACCESS_TOKEN_LIFE_S / 2)));
    for (const token of answers) tokens.add(token);
    if (tokens.size > known) tokens.add(await refresh(id));
    return Number((await grantOf(id)).exchanges) >= 20;
  });
  const { exchanges, state, generation } = await grantOf(id);
  expect({ state, generation }).toEqual({ state: 'active', generation: 1 });
  expectUnbroken(since, exchanges);
  expect(tokens.size).toBeLessThanOrEqual(Number(exchanges) + 1);
  expect(upstream.revokedGrants).toEqual([]);
});

test('a server that is killed between exchanges goes on after its start without a person', async () => {
  const id = await connected('killed');
  const since = upstream.seen.length;
  for (let round = 0; round < 3; round++) {
    await refresh(id);
    await evergrant.kill();
    await expect(evergrant.call('GET', '/v1/grants')).rejects.toThrow();
    await evergrant.start();
    expect(await upstream.userinfo(await refresh(id))).toBe(200);
  }
  const { exchanges, generation } = await grantOf(id);
  expect(generation).toBe(1);
  expectUnbroken(since, exchanges);
  expect(upstream.revokedGrants).toEqual([]);
});

test('when somebody else presents an old refresh token, the grant says so, and one renewal heals it', async () => {
  const id = await connected('stolen');
  const live = await refresh(id);
  const old = upstream.seen.findLast((one) => one.presented !== null)?.presented ?? '';
  const endedBefore = upstream.revokedGrants.length;
  expect(await upstream.presentByHand(old, BOOKS)).toBe('400 invalid_grant');
  expect(upstream.revokedGrants.length).toBe(endedBefore + 1);
  expect(await upstream.userinfo(live)).toBe(401);

  // A client whose token was refused says so, and gets no token but the reason.
  const told = await evergrant.call('POST', `/v1/grants/${id}/token`, { min_ttl: 0, rejected: sha256(live) });
  expect(told).toMatchObject({
    status: 409,
    body: {
      code: 'authorization_required',
      grant: id,
      diagnosis: { code: 'used_elsewhere', said: { status: 400, error: 'invalid_grant' } },
    },
  });
  expect(told.body.remedy).toMatch(/renew the grant/i);
  expect(await grantOf(id)).toMatchObject({ id, state: 'broken', generation: 1 });
  const token = evergrant.command(['token', 'stolen']);
  expect(await token.end()).toBe(3);
  expect(token.out).toBe('');
  const shown = evergrant.command(['grants', 'show', 'stolen']);
  expect(await shown.end()).toBe(0);
  for (const words of ['stolen  broken', 'used_elsewhere', 'invalid_grant', 'renew the grant']) {
    expect(shown.out).toContain(words);
  }

  const { body } = await evergrant.call('POST', `/v1/grants/${id}/renew`);
  const page = await newPage();
  await goThrough(page, String(body.authorization_url), 'stolen', 'Connected');
  expect(await grantOf(id)).toMatchObject({ id, alias: 'stolen', state: 'active', generation: 2 });
  await workingToken(id);
  await refresh(id);
});

test('a renewal with another account is refused and changes nothing', async () => {
  const id = await connected('carol');
  const before = await grantOf(id);
  const { body } = await evergrant.call('POST', `/v1/grants/${id}/renew`);
  const page = await newPage();
  await goThrough(page, String(body.authorization_url), 'mallory', 'Not connected');
  expect(await page.getByRole('main').textContent()).toMatch(
    /another account.*Nothing was changed.*came as mallory.*sign in as carol/s,
  );
  expect(await grantOf(id)).toMatchObject({ ...before, access_token_expires_at: expect.anything() });
  await workingToken(id);
  await refresh(id);
});

test('a callback in another browser is refused with a page that explains, and leaves the code to the right one', async () => {
  const { id, link } = await beginGrant('phished');
  const own = await newPage();
  const returnUrl = await returnUrlOf(own, link, 'phished');
  const since = upstream.seen.length;

  const other = await newPage();
  const answer = await other.goto(returnUrl);
  expect(answer?.status()).toBe(403);
  expect(await other.getByRole('main').textContent()).toContain('browser that opened its link');
  expect(upstream.seen.length).toBe(since);
  expect(await grantOf(id)).toMatchObject({ state: 'pending', generation: 0 });

  await own.goto(returnUrl);
  await own.getByRole('heading', { name: 'Connected' }).waitFor();
  expect(await grantOf(id)).toMatchObject({ state: 'active', generation: 1 });
});

test('a reloaded callback shows the same page and uses the code once, and a used link explains itself', async () => {
  const { id, link } = await beginGrant('reloading');
  const page = await newPage();
  const since = upstream.seen.length;
  await goThrough(page, link, 'reloading', 'Connected');
  const first = await page.getByRole('main').textContent();
  await page.reload();
  expect(await page.getByRole('main').textContent()).toBe(first);
  // The same page from the store, once the server that remembers it is gone.
  await evergrant.kill();
  await evergrant.start();
  await page.reload();
  expect(await page.getByRole('main').textContent()).toBe(first);
  expect(upstream.seen.slice(since)).toMatchObject([{ grantType: 'authorization_code', refusedBecause: null }]);
  expect(await grantOf(id)).toMatchObject({ state: 'active', generation: 1 });
  await workingToken(id);

  const again = await page.goto(link);
  expect(again?.status()).toBe(410);
  expect(await page.getByRole('main').textContent()).toMatch(/works once.*grants renew/s);
});

test('an answer in the name of another issuer is refused before its code is used', async () => {
  const { id, link } = await beginGrant('mixed-up');
  const page = await newPage();
  const returnUrl = new URL(await returnUrlOf(page, link, 'mixed-up'));
  expect(returnUrl.searchParams.get('iss')).toBe(upstream.issuer);
  returnUrl.searchParams.set('iss', 'http://attacker.test');
  const since = upstream.seen.length;
  await page.goto(returnUrl.href);
  expect(await page.getByRole('main').textContent()).toContain('another authorization server');
  expect(upstream.seen.length).toBe(since);
  expect(await grantOf(id)).toMatchObject({ state: 'pending', generation: 0 });
});

test('a person who says no sees that nothing was connected, and what the provider said', async () => {
  const { id, link } = await beginGrant('denied');
  const page = await newPage();
  await page.goto(link);
  await page.getByRole('button', { name: /Continue to/ }).click();
  await signIn(page, 'denied');
  await page.getByRole('button', { name: 'Deny' }).click();
  await page.getByRole('heading', { name: 'Not connected' }).waitFor();
  expect(await grantOf(id)).toMatchObject({ state: 'pending', generation: 0 });
});

test('evergrant connect makes the app, prints a link, and ends with the grant once a person was there', async () => {
  const words = ['connect', 'oidc-here', '--alias', 'from-cli', '--client-id', STOCK.clientId, '--json'];
  const connect = evergrant.command([...words, '--variable', `issuer=${upstream.issuer}`], {
    EVERGRANT_CLIENT_SECRET: STOCK.clientSecret,
  });
  const link = await connect.saying(/http:\S+\/authorize\/\S+/);
  await goThrough(await newPage(), link, 'stocktaker', 'Connected');
  expect(await connect.end()).toBe(0);
  const [waiting, grant] = linesOf(connect.out);
  expect(waiting).toMatchObject({ authorization_url: link });
  expect(grant).toMatchObject({ alias: 'from-cli', state: 'active', account: { subject: 'account-stocktaker' } });
  await workingToken('from-cli');
});

test('evergrant connect --paste takes the whole address at which a browser elsewhere ended', async () => {
  const words = ['connect', 'certified', '--alias', 'pasted', '--paste'];
  const connect = evergrant.command(words);
  const address = await connect.saying(/http:\/\/localhost\S+/);
  const page = await newPage();
  await page.goto(address);
  await signIn(page, 'paster');
  await page.getByRole('button', { name: 'Allow' }).click();
  await page.waitForURL(`${evergrant.url}/callback?**`);
  expect(await page.getByRole('main').textContent()).toContain('Copy its whole address');
  connect.type(page.url());
  expect(await connect.end()).toBe(0);
  expect(connect.out).toContain('pasted  active');
  expect(await grantOf('pasted')).toMatchObject({ state: 'active', account: { label: 'paster' } });
  await workingToken('pasted');
});
