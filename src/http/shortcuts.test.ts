/**
 * Requests for a token that memory has are answered before the framework sees them. Within the process (`inject`) the
 * framework sees every request, so whatever comes over a connection must get the very answer that it gets there.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { InjectOptions } from 'fastify';
import { describe, expect, test, vi } from 'vitest';
import { liveToken } from './fake-keeper.ts';
import { admin, serve } from './fake-server.ts';

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const JSON_TYPE = { 'content-type': 'application/json' };
/** Of the connection, not of the answer. */
const OF_CONNECTION = ['date', 'connection', 'keep-alive', 'transfer-encoding'];

interface Asked {
  readonly method: 'GET' | 'POST' | 'HEAD' | 'PUT' | 'OPTIONS';
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly payload?: string;
}

async function world() {
  const { server, keeper, send } = await serve();
  const grant = keeper.addGrant('eol', { scope: { requested: ['read'], granted: null, missing: [] }, state: 'active' });
  const live = liveToken('at-é', 600_000);
  for (const name of ['eol', grant.id]) keeper.live.set(name, live);
  keeper.onGet = async () => live;
  const made = (await send('POST', '/v1/clients', { name: 'Reports', grants: ['eol'] })).json();
  const origin = await server.listen({ port: 0, host: '127.0.0.1' });
  const fields = {
    grant_type: 'refresh_token',
    refresh_token: made.refresh_tokens.eol,
    client_id: made.client_id,
    client_secret: made.client_secret,
  };

  async function within({ headers = {}, ...asked }: Asked) {
    const answer = await server.inject({ ...asked, headers: { ...headers } } as InjectOptions);
    return told(answer.statusCode, Object.entries(answer.headers), answer.body);
  }
  async function over({ method, url, headers = {}, payload }: Asked) {
    const answer = await fetch(origin + url, { method, headers, ...(payload === undefined ? {} : { body: payload }) });
    return told(answer.status, [...answer.headers], await answer.text());
  }
  const { port } = new URL(origin);
  return { server, keeper, send, port: Number(port), form: String(new URLSearchParams(fields)), within, over };
}

function told(status: number, headers: readonly (readonly [string, unknown])[], body: string) {
  const own = headers.filter(([name]) => !OF_CONNECTION.includes(name)).map(([name, value]) => [name, String(value)]);
  return { status, headers: Object.fromEntries(own) as Record<string, string>, body };
}

/** All that comes back when these pieces are sent, with pauses. */
async function sentInPieces(port: number, ...pieces: readonly string[]): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  const came = Array.fromAsync(socket, String);
  for (const piece of pieces) {
    socket.write(piece);
    await pause(20);
  }
  return (await came).join('');
}

describe('over a connection', () => {
  test('a token read is answered as within the process, whatever comes with it', async () => {
    const { server, within, over } = await world();
    const url = '/v1/grants/eol/token';
    const asked: Asked[] = [
      { method: 'POST', url, headers: admin },
      { method: 'GET', url, headers: admin },
      { method: 'HEAD', url, headers: admin },
      { method: 'PUT', url, headers: admin },
      { method: 'POST', url },
      { method: 'POST', url, headers: { authorization: `Bearer evg_${'A'.repeat(43)}` } },
      { method: 'POST', url: `${url}?min_ttl=1`, headers: admin },
      { method: 'GET', url: `${url}?min_ttl=601`, headers: admin },
      { method: 'GET', url: `${url}?x=/token`, headers: admin },
      { method: 'GET', url: '/v1/grants/%65ol/token', headers: admin },
      { method: 'GET', url: '/v1/grants//token', headers: admin },
      { method: 'GET', url: '/v1/grants/a/b/token', headers: admin },
      { method: 'GET', url: '/v1/grants/token', headers: admin },
      { method: 'POST', url, headers: { ...admin, ...JSON_TYPE } },
      { method: 'POST', url, headers: { ...admin, ...JSON_TYPE }, payload: '{"min_ttl":60}' },
      { method: 'POST', url, headers: { ...admin, ...JSON_TYPE }, payload: '{"min_tll":60}' },
      { method: 'POST', url, headers: { ...admin, 'content-type': 'text/plain' }, payload: 'x' },
    ];
    for (const one of asked) expect([one, await over(one)]).toEqual([one, await within(one)]);
    await server.close();
  });

  test('a client is answered as within the process, whatever it sends', async () => {
    const { server, form, within, over } = await world();
    const url = '/oauth/token';
    const payloads = [
      form,
      form,
      '',
      'x',
      `${form}&scope=read`,
      `${form}&client_id=other`,
      form.replace(/client_secret=.*/, `client_secret=evs_${'A'.repeat(43)}`),
      form.replace('refresh_token=', 'refresh_token=x'),
      `${form}&more=${'x'.repeat(20_000)}`,
      `${form}&more=${'x'.repeat(70_000)}`,
    ];
    const asked: Asked[] = [
      ...payloads.map((payload): Asked => ({ method: 'POST', url, headers: FORM, payload })),
      { method: 'POST', url, headers: JSON_TYPE, payload: form },
      { method: 'POST', url, headers: { ...FORM, authorization: 'Basic eDp5' }, payload: form },
      { method: 'POST', url, headers: { ...FORM, dpop: 'x' }, payload: form },
      { method: 'POST', url, headers: { ...FORM, 'content-encoding': 'identity' }, payload: form },
      { method: 'POST', url, headers: { ...FORM, 'content-encoding': 'gzip' }, payload: form },
      { method: 'POST', url, headers: { ...FORM, origin: 'https://page.example' }, payload: form },
      { method: 'POST', url: `${url}?x=1`, headers: FORM, payload: form },
      { method: 'POST', url },
      { method: 'GET', url },
      { method: 'OPTIONS', url },
    ];
    for (const one of asked) expect([one, await over(one)]).toEqual([one, await within(one)]);
    await server.close();
  });

  test('a form that comes in pieces, in chunks or after its head is the same form', async () => {
    const { server, form, over, port } = await world();
    const first = await over({ method: 'POST', url: '/oauth/token', headers: FORM, payload: form });
    const head =
      'POST /oauth/token HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n';
    const measured = `${head}Content-Length: ${form.length}\r\n\r\n`;
    const chunked = `${head}Transfer-Encoding: chunked\r\n\r\n`;
    const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;
    const ways = [
      [measured + form],
      [measured, form],
      [measured, form.slice(0, 30), form.slice(30)],
      [chunked + chunk(form) + chunk('')],
      [chunked + chunk(form.slice(0, 30)), chunk(form.slice(30)), chunk('')],
    ];
    for (const pieces of ways) {
      const answer = await sentInPieces(port, ...pieces);
      expect(answer).toMatch(/^HTTP\/1.1 200 /);
      expect(answer.endsWith(`\r\n\r\n${first.body}`)).toBe(true);
    }
    await server.close();
  });

  test('a request that names two hosts is refused, wherever it goes', async () => {
    const { server, form, over, port } = await world();
    await over({ method: 'POST', url: '/oauth/token', headers: FORM, payload: form });
    const type = `Content-Type: ${FORM['content-type']}\r\nContent-Length: ${form.length}\r\n`;
    const asked = [
      `GET / HTTP/1.1\r\n`,
      `GET /livez HTTP/1.1\r\n`,
      `GET /proxy/eol/x HTTP/1.1\r\n`,
      `GET /v1/grants/eol/token HTTP/1.1\r\nAuthorization: ${admin.authorization}\r\n`,
      `POST /oauth/token HTTP/1.1\r\n${type}`,
    ];
    for (const head of asked) {
      const body = head.startsWith('POST') ? form : '';
      const answer = await sentInPieces(port, `${head}Host: x\r\nHost: y\r\nConnection: close\r\n\r\n${body}`);
      expect(answer).toMatch(/^HTTP\/1.1 400 /);
    }
    await server.close();
  });

  test('a slip of ours is answered as one, and the server goes on', async () => {
    const { server, keeper, over } = await world();
    const asked: Asked = { method: 'POST', url: '/v1/grants/eol/token', headers: admin };
    const fault = vi.spyOn(keeper.live, 'get').mockImplementation(() => {
      throw new TypeError('x is not a function');
    });
    const { status, body } = await over(asked);
    expect([status, JSON.parse(body).code]).toEqual([500, 'internal_error']);
    fault.mockRestore();
    expect((await over(asked)).status).toBe(200);
    await server.close();
  });

  test('a caller who asks while the server closes is told that the connection ends', async () => {
    const { server, port } = await world();
    const head = `POST /v1/grants/eol/token HTTP/1.1\r\nHost: x\r\nAuthorization: ${admin.authorization}\r\n`;
    const socket = connect(port, '127.0.0.1');
    socket.write(head);
    await pause(50);
    const closed = server.close();
    await pause(50);
    socket.write('\r\n');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(String(answer).toLowerCase()).toContain('\r\nconnection: close\r\n');
    socket.destroy();
    await closed;
  });
});
