/** A person in a real browser signs in at an emulated provider, consents, and is sent back to the app. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Emulator, emulator } from '../../src/emulator.ts';

const QUIET = ['--disable-quic', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const ARGS = ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', ...QUIET];

let browser: Browser;
/** The app that the person comes from and goes back to. */
let app: Server;
let callback: string;
let provider: Emulator;

beforeAll(async () => {
  browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ARGS });
  app = createServer((_, answer) =>
    answer.writeHead(200, { 'content-type': 'text/html' }).end('<h1>Welcome back</h1>'),
  );
  await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
  callback = `http://127.0.0.1:${(app.address() as AddressInfo).port}/callback`;
  provider = await emulator('exact-online');
});

afterAll(async () => {
  await browser?.close();
  await provider?.close();
  app?.close();
});

async function open(): Promise<{ page: Page; complaints: string[] }> {
  const page = await browser.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('requestfailed', (request) => complaints.push(request.url()));
  const query = { client_id: provider.clientId, redirect_uri: callback, response_type: 'code', state: 'from here' };
  await page.goto(`${provider.baseUrl}/api/oauth2/auth?${new URLSearchParams(query).toString()}`);
  return { page, complaints };
}

/** Types what the labels ask for, as a person would: a new code is due for every sign-in. */
async function signIn(page: Page): Promise<void> {
  provider.control.advance(60_000);
  await page.getByLabel('User name').fill(provider.user.username);
  await page.getByLabel('Password').fill(provider.user.password);
  await page.keyboard.press('Enter');
  await page.getByLabel('Verification code').fill(provider.control.totpCode());
  await page.keyboard.press('Enter');
}

test('a person signs in with password and code, allows, and the app gets a code that works', async () => {
  const { page, complaints } = await open();
  await signIn(page);
  await page.getByRole('button', { name: 'Allow' }).click();
  await page.getByRole('heading', { name: 'Welcome back' }).waitFor();
  const { searchParams } = new URL(page.url());
  expect(searchParams.get('state')).toBe('from here');
  const body = new URLSearchParams({
    grant_type: 'authorization_code',
    client_id: provider.clientId,
    client_secret: provider.clientSecret,
    code: searchParams.get('code') ?? '',
    redirect_uri: callback,
  });
  const answer = await fetch(`${provider.baseUrl}/api/oauth2/token`, { method: 'POST', body });
  expect(await answer.json()).toMatchObject({ token_type: 'bearer', expires_in: '600' });
  expect(complaints).toEqual([]);
});

test('a person who denies comes back without a code', async () => {
  const { page } = await open();
  await signIn(page);
  await page.getByRole('button', { name: 'Deny' }).click();
  await page.getByRole('heading', { name: 'Welcome back' }).waitFor();
  expect(page.url()).toBe(`${callback}?error=access_denied&state=from+here`);
});

test('a wrong password is said in words that a screen reader announces, and the name stays', async () => {
  const { page } = await open();
  await page.getByLabel('User name').fill(provider.user.username);
  await page.getByLabel('Password').fill('not this one');
  await page.getByRole('button', { name: 'Sign in' }).click();
  expect(await page.getByRole('alert').textContent()).toContain('do not belong together');
  expect(await page.getByLabel('User name').inputValue()).toBe(provider.user.username);
  expect(await page.evaluate('document.activeElement.id')).toBe('password');
});

test('the pages fit a narrow screen and load nothing from elsewhere', async () => {
  const { page } = await open();
  const requests: string[] = [];
  page.on('request', (request) => requests.push(request.url()));
  await page.setViewportSize({ width: 320, height: 480 });
  await page.reload();
  expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
  expect(requests.filter((url) => !url.startsWith(provider.baseUrl) && !url.startsWith('data:'))).toEqual([]);
});
