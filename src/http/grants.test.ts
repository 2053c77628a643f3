import { describe, expect, test } from 'vitest';
import { NOW } from './fake-keeper.ts';
import { admin, serve } from './fake-server.ts';

async function withApp() {
  const served = await serve();
  const app = await served.send('POST', '/v1/apps', {
    provider: 'exact-online',
    client_id: 'id',
    client_secret: 'app-SECRET',
  });
  return { ...served, app: app.json().id as string, created: app };
}

describe('apps and grants', () => {
  test('a client secret goes in and never comes out', async () => {
    const { send, app, created, keeper } = await withApp();
    expect(created.statusCode).toBe(201);
    expect(created.headers.location).toBe(`/v1/apps/${app}`);
    expect(created.json()).toMatchObject({ has_secret: true, client_id: 'id', variables: {} });
    for (const url of ['/v1/apps', `/v1/apps/${app}`]) expect((await send('GET', url)).body).not.toContain('SECRET');
    const input = keeper.calls[0]?.input as { clientSecret: { reveal(): string } };
    expect(input.clientSecret.reveal()).toBe('app-SECRET');
  });

  test('a pending grant comes with a link of ours', async () => {
    const { send, app } = await withApp();
    const answer = await send('POST', '/v1/grants', { app, alias: 'eol', scope: 'a b', labels: { team: 'x' } });
    expect(answer.statusCode).toBe(201);
    expect(answer.json()).toMatchObject({
      alias: 'eol',
      state: 'pending',
      owner: null,
      labels: { team: 'x' },
      account: null,
      scope: { requested: ['a', 'b'], granted: null, missing: [] },
      expires: { idle_at: null, absolute_at: null, earliest_at: null },
      generation: 0,
      exchanges: 0,
      clients: [],
      authorization_url: 'http://127.0.0.1:8787/authorize/ticket-1',
    });
  });

  test('an imported grant takes over unless told otherwise', async () => {
    const { send, app, keeper } = await withApp();
    const obtained = '2026-11-21T11:59:00Z';
    const body = { app, alias: 'eol', refresh_token: 'rt', access_token: 'at', expires_in: 600, obtained_at: obtained };
    expect((await send('POST', '/v1/grants', body)).json()).toMatchObject({ state: 'active' });
    const input = keeper.calls.at(-1)?.input as Record<string, unknown>;
    expect(input).toMatchObject({ takeover: true, expiresInMs: 600_000, obtainedAt: Date.parse(obtained) });
    await send('POST', '/v1/grants', { app, alias: 'eol2', refresh_token: 'rt2', takeover: false });
    expect(keeper.calls.at(-1)?.input).toMatchObject({ takeover: false });
  });

  test('fields that do not go together are refused by name', async () => {
    const { send, app } = await withApp();
    const pairs: [object, string][] = [
      [{ access_token: 'at' }, 'access_token'],
      [{ takeover: true }, 'takeover'],
      [{ refresh_token: 'rt', return_url: 'https://a.example/' }, 'return_url'],
      [{ refresh_token: 'rt', expires_in: 5 }, 'expires_in'],
      [{ refresh_token: 'rt', obtained_at: 'yesterday' }, 'obtained_at'],
      [{ return_url: 'javascript:alert(1)' }, 'return_url'],
      [{ return_url: 'https://user:pw@a.example/' }, 'return_url'],
      [{ return_url: 'http://a.example/' }, 'return_url'],
      [{ return_url: 'http://127.0.0.1.a.example/' }, 'return_url'],
    ];
    for (const [fields, name] of pairs) {
      const answer = await send('POST', '/v1/grants', { app, alias: 'eol', ...fields });
      expect(answer.json()).toMatchObject({
        status: 400,
        code: 'invalid_request',
        detail: expect.stringContaining(name),
      });
    }
  });

  test('an alias that is taken is 409, one with another form 400', async () => {
    const { send, app } = await withApp();
    await send('POST', '/v1/grants', { app, alias: 'eol' });
    expect((await send('POST', '/v1/grants', { app, alias: 'eol' })).json()).toMatchObject({ code: 'alias_taken' });
    for (const alias of ['Eol', '', '.x', 'a b', 'a\u0000', 'a\n', 'a'.repeat(64), '\ud800', 5, null]) {
      expect((await send('POST', '/v1/grants', { app, alias })).json()).toMatchObject({ status: 400 });
    }
  });

  test('a NUL, a control character or half a character is 400 wherever text is taken', async () => {
    const { send, app } = await withApp();
    for (const text of ['a\u0000b', 'a\u001b[2J', '\udc00']) {
      for (const field of [{ owner: text }, { labels: { a: text } }, { labels: { [text]: 'a' } }, { scope: text }]) {
        expect((await send('POST', '/v1/grants', { app, alias: 'x', ...field })).statusCode).toBe(400);
      }
    }
  });

  test('__proto__ is just another unknown field', async () => {
    const { send } = await serve();
    const headers = { ...admin, 'content-type': 'application/json' };
    const body = '{"app":"a","alias":"b","__proto__":{"takeover":true}}';
    expect((await send('POST', '/v1/grants', body, headers)).json()).toMatchObject({ code: 'unknown_field' });
    const labels = '{"app":"a","alias":"b","labels":{"__proto__":"x"}}';
    expect((await send('POST', '/v1/grants', labels, headers)).statusCode).toBe(400);
  });

  test('lists are filtered and paged', async () => {
    const { send, keeper } = await serve();
    for (const alias of ['a', 'b', 'c']) keeper.addGrant(alias);
    const first = (await send('GET', '/v1/grants?limit=2')).json();
    expect(first.items.map((grant: { alias: string }) => grant.alias)).toEqual(['a', 'b']);
    const second = (await send('GET', `/v1/grants?limit=2&after=${first.next}`)).json();
    expect(second).toMatchObject({ items: [{ alias: 'c' }], next: null });
    await send('GET', '/v1/grants?state=broken&provider=p&owner=o&label=k%3Dv&q=x');
    expect(keeper.calls.at(-1)?.input).toEqual({
      limit: 50,
      after: null,
      state: 'broken',
      provider: 'p',
      owner: 'o',
      label: 'k=v',
      q: 'x',
    });
    for (const query of ['limit=0', 'limit=9999', 'limit=x', 'state=odd', 'label=k', 'state=broken&state=active']) {
      expect((await send('GET', `/v1/grants?${query}`)).json()).toMatchObject({ code: 'invalid_request' });
    }
    expect((await send('GET', '/v1/grants?statee=broken')).json()).toMatchObject({
      code: 'unknown_field',
      detail: 'Not known here: statee.',
    });
  });

  test('owner can be taken away with null; an end gives the revoked grant', async () => {
    const { send, keeper } = await serve();
    const { id } = keeper.addGrant('eol', { owner: 'acme' });
    expect((await send('PATCH', `/v1/grants/${id}`, { owner: null })).json()).toMatchObject({ owner: null });
    expect((await send('DELETE', `/v1/grants/${id}`)).json()).toMatchObject({ state: 'revoked' });
  });

  test('a renewal gives a link; renewals give the next and how many are left', async () => {
    const { send, keeper } = await serve();
    keeper.addGrant('eol', { state: 'broken', generation: 1 });
    expect((await send('POST', '/v1/grants/eol/renew')).json()).toEqual({
      authorization_url: 'http://127.0.0.1:8787/authorize/ticket-1',
      expires_at: '2026-11-21T12:10:00.000Z',
    });
    await send('POST', '/v1/grants/eol/renew', { return_url: 'https://a.example/x', scope: ['a'] });
    expect(keeper.calls.at(-1)?.input).toEqual({ returnUrl: 'https://a.example/x', scope: ['a'] });
    expect((await send('POST', '/v1/renewals', { state: 'broken' })).json()).toMatchObject({
      grant: { alias: 'eol' },
      authorization_url: 'http://127.0.0.1:8787/authorize/ticket-3',
      left: 1,
    });
  });

  test('a diagnosis says cause, remedy and what the provider said', async () => {
    const { send, keeper } = await serve();
    const said = { status: 400, error: 'invalid_grant', description: null };
    keeper.addGrant('eol', {
      state: 'broken',
      diagnosis: { code: 'successor_lost', since: NOW, said, evidence: 'Presented once.' },
    });
    const { diagnosis } = (await send('GET', '/v1/grants/eol')).json();
    expect(diagnosis).toMatchObject({ code: 'successor_lost', retry: false, evidence: 'Presented once.', said });
    expect(Object.keys(diagnosis)).toEqual(['code', 'cause', 'remedy', 'retry', 'evidence', 'since', 'said']);
  });

  test('a pasted return URL is finished under the caller’s key', async () => {
    const { send, keeper } = await serve();
    const grant = keeper.addGrant('eol');
    keeper.onFinish = async () => ({ outcome: 'done', grant, returnUrl: null, joined: false });
    const body = {
      ticket: 'http://127.0.0.1:8787/authorize/t1',
      url: 'http://127.0.0.1:8787/callback?code=C&state=S',
    };
    const answer = await send('POST', '/v1/grants/eol/authorization/paste', body);
    expect(answer.json()).toMatchObject({ outcome: 'done', grant: { alias: 'eol' }, joined: false });
    expect(keeper.calls.at(-1)).toMatchObject({ input: { ticket: 't1', callback: { state: 'S', error: null } } });
    const wrong = await send('POST', '/v1/grants/eol/authorization/paste', { ticket: 't1', url: 'C0DE' });
    expect(wrong.json()).toMatchObject({ code: 'invalid_request', detail: expect.stringContaining('url') });
    expect(wrong.body).not.toContain('C0DE');
  });

  test('providers can be read, with null for no limit', async () => {
    const { send } = await serve();
    const { items } = (await send('GET', '/v1/providers')).json();
    expect(items[0]).toMatchObject({ id: 'exact-online', policy: { class: 'one-time-revoking', idle: null } });
    expect((await send('GET', '/v1/providers/none')).statusCode).toBe(404);
  });
});
