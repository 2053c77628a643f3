import { describe, expect, test } from 'vitest';
import { EvergrantError } from '../core/errors.ts';
import { liveToken, NOW } from './fake-keeper.ts';
import { admin, serve } from './fake-server.ts';

describe('access tokens', () => {
  test('a living token is answered with its whole seconds, rounded down, and is kept by nobody', async () => {
    const { send, keeper } = await serve();
    keeper.live.set('eol', liveToken('at-1', 599_999, 'read'));
    const answer = await send('POST', '/v1/grants/eol/token');
    expect(answer.json()).toEqual({
      access_token: 'at-1',
      token_type: 'Bearer',
      expires_in: 599,
      expires_at: '2026-11-21T12:09:59.999Z',
      scope: 'read',
    });
    expect(answer.headers).toMatchObject({
      'cache-control': 'no-store',
      pragma: 'no-cache',
      'content-type': 'application/json; charset=utf-8',
      'x-content-type-options': 'nosniff',
    });
    expect(keeper.calls).toEqual([]);
  });

  test('[S58] a living token costs no query and no write, however often it is asked for', async () => {
    const { parts, keeper, send } = await serve();
    keeper.live.set('eol', liveToken('at-1', 60_000));
    for (let i = 0; i < 100; i++) expect((await send('POST', '/v1/grants/eol/token')).statusCode).toBe(200);
    expect([parts.records.queries, keeper.calls]).toEqual([[], []]);
  });

  test('the answer follows the token: another second, another end, another token', async () => {
    const { send, keeper } = await serve();
    const first = liveToken('at-1', 60_000);
    keeper.live.set('eol', first);
    await send('GET', '/v1/grants/eol/token');
    keeper.live.set('eol', { ...first, leftMs: 41_500 });
    expect((await send('GET', '/v1/grants/eol/token')).json().expires_in).toBe(41);
    keeper.live.set('eol', liveToken('at-2', 60_000));
    expect((await send('GET', '/v1/grants/eol/token')).json().access_token).toBe('at-2');
  });

  test('a token with quotes or beyond ASCII arrives as it is', async () => {
    const { send, keeper } = await serve();
    keeper.live.set('eol', liveToken('a"b\\c\né€', 60_000));
    expect((await send('GET', '/v1/grants/eol/token')).json().access_token).toBe('a"b\\c\né€');
  });

  test('a token without an end has null for its life', async () => {
    const { send, keeper } = await serve();
    keeper.live.set('eol', liveToken('at', Number.POSITIVE_INFINITY));
    expect((await send('GET', '/v1/grants/eol/token')).json()).toMatchObject({ expires_in: null, expires_at: null });
  });

  test('without a word the keeper chooses the least life, and the token is waited for 30 seconds', async () => {
    const { send, keeper } = await serve();
    await send('POST', '/v1/grants/eol/token');
    expect(keeper.calls).toEqual([
      { name: 'tokens.get', input: { name: 'eol', wish: { minTtlMs: null, waitMs: 30_000 } } },
    ]);
  });

  test('min_ttl, wait and rejected reach the keeper', async () => {
    const { send, keeper } = await serve();
    keeper.live.set('eol', liveToken('at', 60_000));
    const rejected = 'A'.repeat(43);
    await send('POST', '/v1/grants/eol/token', { min_ttl: 60.5, wait: 0, rejected });
    expect(keeper.calls[0]?.input).toEqual({ name: 'eol', wish: { minTtlMs: 60_500, waitMs: 0, rejected } });
  });

  test('a wrong wish is 400 and names the field', async () => {
    const { send } = await serve();
    const wrong: [unknown, string, string][] = [
      [{ min_ttl: '60' }, 'invalid_request', 'min_ttl'],
      [{ min_ttl: -1 }, 'invalid_request', 'min_ttl'],
      [{ wait: 121 }, 'invalid_request', 'wait'],
      [{ wait: null }, 'invalid_request', 'wait'],
      [{ rejected: 'raw-token' }, 'invalid_request', 'rejected'],
      [{ min_tll: 5 }, 'unknown_field', 'min_tll'],
      [[], 'invalid_request', 'object'],
    ];
    for (const [body, code, word] of wrong) {
      const answer = await send('POST', '/v1/grants/eol/token', body);
      expect(answer.json()).toMatchObject({ status: 400, code, detail: expect.stringContaining(word) });
    }
    for (const query of ['min_ttl=x', 'min_ttl=1&min_ttl=2', 'min_ttl=-1', 'ttl=5']) {
      expect((await send('GET', `/v1/grants/eol/token?${query}`)).statusCode).toBe(400);
    }
  });

  test('what cannot be served now says when to ask again, rounded up', async () => {
    const { send, keeper, parts } = await serve();
    keeper.onGet = async () => {
      throw new EvergrantError('in_doubt', 'No answer yet.', {
        remedy: 'Wait.',
        retryAfterMs: 1_001,
        grant: 'grt_1',
        renewUrl: `${parts.settings.publicUrl}/grants/grt_1`,
        diagnosis: {
          code: 'too_early',
          since: NOW,
          said: { status: 400, error: 'x', description: null },
          evidence: 'e',
        },
      });
    };
    const answer = await send('GET', '/v1/grants/eol/token');
    expect(answer.headers['content-type']).toContain('application/problem+json');
    expect(answer.headers).toMatchObject({ 'retry-after': '2', 'cache-control': 'no-store' });
    expect(answer.json()).toMatchObject({
      status: 503,
      code: 'in_doubt',
      detail: 'No answer yet.',
      remedy: 'Wait.',
      retry_after: 2,
      grant: 'grt_1',
      renew_url: 'http://127.0.0.1:8787/grants/grt_1',
      diagnosis: { code: 'too_early', retry: true, since: '2026-11-21T12:00:00.000Z', said: { status: 400 } },
    });
  });

  test('an Idempotency-Key on a token read is accepted and changes nothing', async () => {
    const { send, keeper, parts } = await serve();
    const headers = { ...admin, 'idempotency-key': 'k' };
    keeper.live.set('eol', liveToken('at-1', 60_000));
    await send('POST', '/v1/grants/eol/token', {}, headers);
    keeper.live.set('eol', liveToken('at-2', 60_000));
    expect((await send('POST', '/v1/grants/eol/token', {}, headers)).json().access_token).toBe('at-2');
    expect(parts.records.queries).toEqual([]);
  });

  test('a caller that goes away cancels nothing', async () => {
    const { server, keeper } = await serve();
    let finish = (): void => undefined;
    const asked = new Promise<void>((resolve) => {
      keeper.onGet = () => {
        resolve();
        return new Promise((give) => {
          finish = () => give(liveToken('at', 60_000));
        });
      };
    });
    const origin = await server.listen({ port: 0, host: '127.0.0.1' });
    const leave = new AbortController();
    const left = fetch(`${origin}/v1/grants/eol/token`, { headers: admin, signal: leave.signal }).catch(() => 'left');
    await asked;
    leave.abort();
    expect(await left).toBe('left');
    finish();
    keeper.live.set('eol', liveToken('at', 60_000));
    expect((await fetch(`${origin}/v1/grants/eol/token`, { headers: admin })).status).toBe(200);
    await server.close();
  });

  test('refresh answers as a token read does', async () => {
    const { send, keeper } = await serve();
    expect((await send('POST', '/v1/grants/eol/refresh')).json()).toMatchObject({ code: 'too_early', retry_after: 2 });
    keeper.live.set('eol', liveToken('at', 60_000));
    const answer = await send('POST', '/v1/grants/eol/refresh');
    expect(answer.json()).toMatchObject({ access_token: 'at', token_type: 'Bearer', expires_in: 60 });
    expect(answer.headers).toMatchObject({ 'cache-control': 'no-store', pragma: 'no-cache' });
  });
});
