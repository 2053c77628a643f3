import { describe, expect, test } from 'vitest';
import { fail } from './fake-keeper.ts';
import { admin, serve } from './fake-server.ts';

describe('repeated requests', () => {
  const key = { ...admin, 'idempotency-key': 'key-1' };

  test('the same key and body give the same answer, and nothing is done twice', async () => {
    const { send, keeper } = await serve();
    const body = { provider: 'exact-online', client_id: 'x' };
    const first = await send('POST', '/v1/apps', body, key);
    const second = await send('POST', '/v1/apps', body, key);
    expect([second.statusCode, second.body]).toEqual([first.statusCode, first.body]);
    expect(second.headers.location).toBe(first.headers.location);
    expect(keeper.calls.filter(({ name }) => name === 'apps.create')).toHaveLength(1);
  });

  test('an answer with a secret is kept sealed', async () => {
    const { send, parts } = await serve();
    const made = await send('POST', '/v1/api-keys', { name: 'ci' }, key);
    expect((await send('POST', '/v1/api-keys', { name: 'ci' }, key)).json().key).toBe(made.json().key);
    expect(JSON.stringify([...parts.records.rows])).not.toContain(made.json().key);
  });

  test('another body is 422; another path, caller or day is another request', async () => {
    const { send, parts } = await serve();
    await send('POST', '/v1/api-keys', { name: 'a' }, key);
    expect((await send('POST', '/v1/api-keys', { name: 'b' }, key)).json()).toMatchObject({
      code: 'idempotency_mismatch',
    });
    const other = (await send('POST', '/v1/api-keys', { name: 'other' })).json().key;
    const callers = { ...key, authorization: `Bearer ${other}` };
    expect((await send('POST', '/v1/api-keys', { name: 'b' }, callers)).statusCode).toBe(201);
    expect((await send('POST', '/v1/apps', { provider: 'p', client_id: 'c' }, key)).statusCode).toBe(201);
    parts.pass(86_400_001);
    expect((await send('POST', '/v1/api-keys', { name: 'b' }, key)).statusCode).toBe(201);
  });

  test('while the first still runs the second is 409', async () => {
    const { send, keeper } = await serve();
    let go = (): void => undefined;
    keeper.onCreate = () =>
      new Promise((resolve) => {
        go = resolve;
      });
    const body = { app: 'app_1', alias: 'eol' };
    const first = send('POST', '/v1/grants', body, key);
    await expect.poll(() => keeper.calls.length).toBe(1);
    expect((await send('POST', '/v1/grants', body, key)).json()).toMatchObject({ code: 'idempotency_in_progress' });
    go();
    expect((await first).statusCode).toBe(201);
    expect((await send('POST', '/v1/grants', body, key)).statusCode).toBe(201);
  });

  test('after a failure of ours the same key tries again', async () => {
    const { send, keeper } = await serve();
    keeper.onCreate = async () => {
      throw fail('upstream_unavailable');
    };
    const body = { app: 'app_1', alias: 'eol' };
    expect((await send('POST', '/v1/grants', body, key)).statusCode).toBe(503);
    keeper.onCreate = async () => undefined;
    expect((await send('POST', '/v1/grants', body, key)).statusCode).toBe(201);
  });

  test('a key that is used anew after a day does not keep the answers to others in the database', async () => {
    const { send, parts } = await serve();
    const post = (name: string) => send('POST', '/v1/api-keys', { name }, { ...key, 'idempotency-key': name });
    await post('daily');
    await post('once');
    parts.pass(86_399_000);
    // What is over is looked for now, and not again when the first key is over.
    await post('another');
    parts.pass(2_000);
    await post('daily');
    expect([...parts.records.rows.keys()].filter((row) => row.includes('idm_'))).toHaveLength(3);
    parts.pass(700_000);
    await post('last');
    expect([...parts.records.rows.keys()].filter((row) => row.includes('idm_'))).toHaveLength(3);
  });

  test('a run that was cut off does not hold its key for ever', async () => {
    const { send, keeper, parts } = await serve();
    keeper.onCreate = () => new Promise(() => undefined);
    const body = { app: 'app_1', alias: 'eol' };
    void send('POST', '/v1/grants', body, key);
    await expect.poll(() => keeper.calls.length).toBe(1);
    keeper.onCreate = async () => undefined;
    parts.pass(300_001);
    expect((await send('POST', '/v1/grants', body, key)).statusCode).toBe(201);
  });
});
