import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { AuthorizationOutcome } from '../keeper/keeper.ts';
import { fail, type FakeParts, fakeParts } from './fake-keeper.ts';
import { buildServer } from './server.ts';

const ORIGIN = 'http://127.0.0.1:8787';
const OWN = { 'sec-fetch-site': 'same-origin', origin: 'null' };

async function withTicket(parts: FakeParts = fakeParts()) {
  const server = await buildServer(parts);
  const { keeper } = parts;
  const grant = keeper.addGrant('eol', {
    owner: 'Acme & <b>Sons</b>',
    account: { subject: '7', label: 'jan@acme.example' },
  });
  await keeper.authorizations.begin(grant.id, {});
  keeper.onFinish = async (): Promise<AuthorizationOutcome> => ({
    outcome: 'done',
    grant,
    returnUrl: null,
    joined: false,
  });
  const press = (headers: object = OWN, payload?: string) =>
    server.inject({
      method: 'POST',
      url: '/authorize/ticket-1',
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
      ...(payload === undefined ? {} : { payload }),
    });
  const back = (query: string, cookie?: string) =>
    server.inject({ method: 'GET', url: `/callback?${query}`, headers: cookie === undefined ? {} : { cookie } });
  return { server, keeper, grant, press, back };
}

async function opened(parts?: FakeParts) {
  const all = await withTicket(parts);
  const answer = await all.press();
  const [cookie] = answer.cookies;
  return { ...all, cookie: `${cookie?.name}=${cookie?.value}`, set: String(answer.headers['set-cookie']) };
}

const finishes = (parts: { keeper: FakeParts['keeper'] }) =>
  parts.keeper.calls.filter(({ name }) => name === 'authorizations.finish');

describe('the page behind a link', () => {
  test('it names who asks, the app, the provider and when it ends, and escapes what others wrote', async () => {
    const { server } = await withTicket();
    const { body, headers } = await server.inject('/authorize/ticket-1');
    expect(body).toContain('Acme &amp; &lt;b&gt;Sons&lt;/b&gt;');
    for (const part of ['Exact Online', 'Acme Books', 'eol', '12:09 UTC', 'method="post"'])
      expect(body).toContain(part);
    expect(headers).toMatchObject({ 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' });
  });

  test('it breaks the long name of a scope where it has parts, and escapes those', async () => {
    const parts = fakeParts();
    const server = await buildServer(parts);
    const requested = ['accounting.transactions.read', '<i>.<b>bold'];
    const { id } = parts.keeper.addGrant('eol', { scope: { requested, granted: null, missing: [] } });
    await parts.keeper.authorizations.begin(id, {});
    const { body } = await server.inject('/authorize/ticket-1');
    expect(body).toContain('<li>accounting.<wbr>transactions.<wbr>read</li>');
    expect(body).toContain('<li>&lt;i&gt;.<wbr>&lt;b&gt;bold</li>');
  });

  test('it says where the browser goes afterwards, before anything is allowed', async () => {
    const parts = fakeParts();
    const server = await buildServer(parts);
    const { id } = parts.keeper.addGrant('eol');
    await parts.keeper.authorizations.begin(id, { returnUrl: 'https://books.example:8443/done?a=1' });
    expect((await server.inject('/authorize/ticket-1')).body).toContain('<strong>books.example:8443</strong>');
  });

  test('it runs no script and loads nothing from elsewhere', async () => {
    const { server } = await withTicket();
    const { body, headers } = await server.inject('/authorize/ticket-1');
    const [, style = ''] = /<style>([\s\S]*)<\/style>/.exec(body) ?? [];
    const hash = createHash('sha256').update(style).digest('base64');
    expect(headers['content-security-policy']).toContain(`style-src 'sha256-${hash}'`);
    expect(headers['content-security-policy']).toMatch(/default-src 'none'.*frame-ancestors 'none'/);
    expect(body).not.toMatch(/<script|style="|https?:\/\/(?!www\.w3\.org)/);
  });

  test('a link preview does not use it up', async () => {
    const { server, press } = await withTicket();
    for (const method of ['GET', 'HEAD'] as const) {
      expect((await server.inject({ method, url: '/authorize/ticket-1' })).statusCode).toBe(200);
    }
    expect((await press()).statusCode).toBe(303);
  });

  test('the button leads to the provider and binds this browser', async () => {
    const { press } = await withTicket();
    const answer = await press();
    expect(answer.statusCode).toBe(303);
    expect(answer.headers.location).toMatch(/^https:\/\/start\.exactonline\.nl\//);
    const cookie = String(answer.headers['set-cookie']);
    expect(cookie).toMatch(
      /^evergrant_[\w-]{16}=cookie-of-ticket-1; Max-Age=600; Path=\/callback; HttpOnly; SameSite=Lax$/,
    );
  });

  test('behind https the cookie is only sent over https', async () => {
    const { set } = await opened(fakeParts({ settings: { publicUrl: 'https://keeper.example/evergrant' } }));
    expect(set).toMatch(/Path=\/evergrant\/callback; HttpOnly; Secure; SameSite=Lax/);
  });

  test('another site cannot press the button', async () => {
    const { press, keeper } = await withTicket();
    const foreign = [
      { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' },
      { 'sec-fetch-site': 'same-site' },
      { 'sec-fetch-site': 'none' },
      { origin: 'https://evil.example' },
      { 'sec-fetch-site': 'same-origin', origin: 'https://evil.example' },
      { origin: 'null' },
      { cookie: 'evergrant_page=aaaaaaaaaaaaaaaaaaaaaaaa' },
      {},
    ];
    for (const headers of foreign)
      expect((await press(headers, 'page=')).statusCode, JSON.stringify(headers)).toBe(403);
    expect(keeper.calls.some(({ name }) => name === 'authorizations.open')).toBe(false);
  });

  test('a browser that does not say where a form comes from shows it by the secret of the page', async () => {
    const { server, press } = await withTicket();
    const page = await server.inject('/authorize/ticket-1');
    const [, secret = ''] = /name="page" value="([\w-]+)"/.exec(page.body) ?? [];
    expect(secret).toHaveLength(24);
    const cookie = `evergrant_page=${page.cookies[0]?.value}`;
    expect((await press({ cookie }, 'page=wrong')).statusCode).toBe(403);
    expect((await press({ cookie }, `page=${secret}`)).statusCode).toBe(303);
  });

  test('our own origin is enough', async () => {
    const { press } = await withTicket();
    expect((await press({ origin: ORIGIN })).statusCode).toBe(303);
  });

  test('a used or unknown link explains how to get a new one', async () => {
    const { server, press } = await withTicket();
    await press();
    for (const [ticket, status] of [
      ['ticket-1', 410],
      ['unknown', 404],
    ] as const) {
      const answer = await server.inject(`/authorize/${ticket}`);
      expect(answer.statusCode).toBe(status);
      expect(answer.headers['content-type']).toContain('text/html');
      expect(answer.body).toContain('for a new one');
    }
    expect((await press()).statusCode).toBe(410);
  });
});

describe('coming back from the provider', () => {
  const QUERY = 'state=state-of-ticket-1&code=C0DE';

  test('the account and alias are named', async () => {
    const { back, cookie } = await opened();
    const answer = await back(QUERY, cookie);
    expect(answer.statusCode).toBe(200);
    expect(answer.body).toContain('jan@acme.example');
    expect(answer.body).toContain('eol');
    expect(answer.body).not.toContain('C0DE');
    expect(answer.headers['cache-control']).toBe('no-store');
  });

  test('a reload shows the same and uses the code once, also when both come at once', async () => {
    const all = await opened();
    const [first, second] = await Promise.all([all.back(QUERY, all.cookie), all.back(QUERY, all.cookie)]);
    const third = await all.back(QUERY, all.cookie);
    expect(second.body).toBe(first.body);
    expect(third.body).toBe(first.body);
    expect(finishes(all)).toHaveLength(1);
  });

  test('another browser gets an explanation, and nothing happens', async () => {
    const all = await opened();
    for (const cookie of [undefined, 'evergrant_x=1', 'evergrant_page=cookie-of-ticket-1']) {
      const answer = await all.back(QUERY, cookie);
      expect(answer.statusCode).toBe(403);
      expect(answer.body).toContain('browser where you began');
    }
    expect(finishes(all)).toEqual([]);
  });

  test('a cookie that is not the right one gets the same explanation', async () => {
    const { back, cookie, keeper } = await opened();
    keeper.onFinish = async () => {
      throw fail('another_browser');
    };
    expect((await back(QUERY, `${cookie}x`)).body).toContain('browser where you began');
  });

  test('several authorizations run in one browser', async () => {
    const all = await opened();
    await all.keeper.authorizations.begin(all.grant.id, {});
    const other = await all.server.inject({ method: 'POST', url: '/authorize/ticket-2', headers: OWN });
    const cookies = `${all.cookie}; ${other.cookies[0]?.name}=${other.cookies[0]?.value}`;
    await all.back('state=state-of-ticket-2&code=b', cookies);
    await all.back('state=state-of-ticket-1&code=a', cookies);
    expect(finishes(all).map(({ input }) => (input as { cookie: string }).cookie)).toEqual([
      'cookie-of-ticket-2',
      'cookie-of-ticket-1',
    ]);
  });

  test('a refusal shows reason and remedy, and escapes both', async () => {
    const { back, cookie, keeper } = await opened();
    const returnUrl = 'https://app.example/settings?tab=1';
    keeper.onFinish = async () => ({ outcome: 'failed', reason: 'It said <no>.', remedy: 'Ask again.', returnUrl });
    const answer = await back('state=state-of-ticket-1&error=access_denied', cookie);
    expect(answer.statusCode).toBe(422);
    for (const part of ['It said &lt;no&gt;.', 'Ask again.', 'https://app.example/settings?tab=1&amp;outcome=failed']) {
      expect(answer.body).toContain(part);
    }
  });

  test('with a return URL the browser is sent on, and no secret goes along', async () => {
    const { back, cookie, keeper, grant } = await opened();
    const returnUrl = 'https://app.example/done?x=1';
    keeper.onFinish = async () => ({ outcome: 'done', grant, returnUrl, joined: false });
    const answer = await back(QUERY, cookie);
    expect(answer.statusCode).toBe(303);
    expect(answer.headers.location).toBe(`https://app.example/done?x=1&outcome=done&grant=${grant.id}&alias=eol`);
  });

  test('a fault of ours shows a reference and is tried again by a reload', async () => {
    const { back, cookie, keeper, grant } = await opened();
    keeper.onFinish = () => Promise.reject(new Error('S3CRET'));
    const answer = await back(QUERY, cookie);
    expect(answer.statusCode).toBe(500);
    expect(answer.body).not.toContain('S3CRET');
    keeper.onFinish = async () => ({ outcome: 'done', grant, returnUrl: null, joined: false });
    expect((await back(QUERY, cookie)).statusCode).toBe(200);
  });

  test('a parameter that comes twice counts as none, and HEAD finishes nothing', async () => {
    const all = await opened();
    await all.back('state=state-of-ticket-1&code=a&code=b', all.cookie);
    expect(finishes(all)[0]?.input).toMatchObject({ callback: { code: null } });
    expect((await all.back('state=a&state=b&code=c', all.cookie)).statusCode).toBe(400);
    const head = await all.server.inject({
      method: 'HEAD',
      url: `/callback?${QUERY}`,
      headers: { cookie: all.cookie },
    });
    expect(head.statusCode).toBe(405);
    expect(finishes(all)).toHaveLength(1);
  });
});
