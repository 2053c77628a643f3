/** What crosses between the processes of one server, and what a worker may do by itself. */
import { createHash } from 'node:crypto';
import { inspect } from 'node:util';
import { deserialize, serialize } from 'node:v8';
import { describe, expect, test } from 'vitest';
import { EvergrantError } from '../src/core/errors.ts';
import type { Instant } from '../src/core/instant.ts';
import { Secret } from '../src/core/secret.ts';
import { ErrorForClient } from '../src/issuer/authorization-request.ts';
import { OAuthError } from '../src/oauth/oauth-error.ts';
import { StoreFailure } from '../src/ports/store.ts';
import { fromWire, toWire } from '../src/workers/wire.ts';
import { refused } from './support/issuer-bench.ts';
import { LOST } from './support/scripted-upstream.ts';
import { ADMIN_KEY, workersBench } from './support/workers-bench.ts';

const crossed = <T>(value: T): T => fromWire(deserialize(serialize(toWire(value)))) as T;

async function failure(work: Promise<unknown>): Promise<EvergrantError> {
  const error = await work.then(
    () => null,
    (cause: unknown) => cause,
  );
  if (error instanceof EvergrantError) return error;
  throw new Error(`no error with a code: ${inspect(error)}`);
}

describe('between processes', () => {
  test('a secret crosses with its kind, and prints as that on both sides', () => {
    const there = crossed({ list: [new Secret('access token', 'at-1')], none: null, absent: undefined });
    expect(there.list[0]).toBeInstanceOf(Secret);
    expect(there.list[0]?.kind).toBe('access token');
    expect(there.list[0]?.reveal()).toBe('at-1');
    expect(inspect(there)).not.toContain('at-1');
  });

  test('plain values cross as they are: no end of time, nothing, bytes, maps', () => {
    const value = { ms: Number.POSITIVE_INFINITY, list: [undefined, null], of: new Map([['a', { b: 1 }]]) };
    expect(crossed(value)).toEqual(value);
    expect(crossed(new Uint8Array([1, 2]))).toEqual(Uint8Array.from([1, 2]));
  });

  test('labels that look like a secret stay labels', () => {
    const labels = { secret: 'x', error: 'y', map: 'z', is: 'evergrant' };
    expect(crossed({ labels })).toEqual({ labels });
  });

  test('an error crosses with all that a caller is told of it, and what the log shows', () => {
    const diagnosis = { code: 'revoked', since: 1 as Instant } as never;
    const details = { remedy: 'Renew.', retryAfterMs: 12, grant: 'grt_1', diagnosis, renewUrl: 'http://x/' } as const;
    const error = new EvergrantError('too_early', 'Not yet.', { ...details, cause: new Error('because') });
    const there = crossed(error);
    expect(there).toBeInstanceOf(EvergrantError);
    expect(there).toMatchObject({ code: 'too_early', message: 'Not yet.', status: 503, details });
    expect(there.stack).toBe(error.stack);
    expect(there.cause).toMatchObject({ message: 'because' });
  });

  test('errors of OAuth, of the store and of a slip are the same over there', () => {
    const oauth = crossed(new OAuthError('invalid_target', { description: 'Which?', status: 405 }));
    expect(oauth).toBeInstanceOf(OAuthError);
    expect(oauth).toMatchObject({ code: 'invalid_target', status: 405, message: 'Which?' });
    expect(crossed(new ErrorForClient('https://c/?error=x'))).toMatchObject({ location: 'https://c/?error=x' });
    expect(crossed(new StoreFailure(new Error('disk')))).toBeInstanceOf(StoreFailure);
    expect(crossed(new StoreFailure(new Error('disk'))).message).toBe('The store failed: disk');
    expect(crossed(new RangeError('slip'))).toMatchObject({ name: 'RangeError', message: 'slip' });
  });
});

describe('a worker', () => {
  test('reaches what is offered, and nothing else of its parent', async () => {
    using bench = await workersBench();
    const [one] = bench.workers;
    for (const name of [
      'exports.read',
      'keeper.drain',
      'keeper.figures',
      'records.constructor',
      'grants.__proto__',
      'constructor.keys',
      'records.get.call',
      'records',
      '',
    ]) {
      await expect(bench.clock.until(one.ask(name, 'grant', 'x')), name).rejects.toThrow('is done for workers');
    }
    await expect(bench.clock.until(one.ask('records.get', 'grant', 'x'))).resolves.toBeNull();
  });

  test('hears what is wrong in the words of its parent', async () => {
    using bench = await workersBench();
    const error = await failure(bench.clock.until(bench.workers[0].keeper.grants.get('nobody')));
    expect(error.code).toBe('not_found');
  });

  test('serves a token that it has without asking anybody', async () => {
    using bench = await workersBench();
    const [one] = bench.workers;
    const { id } = await bench.world.imported();
    const live = await bench.clock.until(one.keeper.tokens.get('eol', { minTtlMs: null, waitMs: 0 }));
    expect(live.accessToken.reveal()).toBe('at-0-eol');
    one.asked.length = 0;
    await bench.clock.advance(30_000);
    for (const name of ['eol', id]) {
      const peeked = one.keeper.tokens.peek(name, 5_000);
      expect(peeked?.accessToken.reveal()).toBe('at-0-eol');
      expect(peeked?.leftMs).toBe(570_000);
    }
    expect(one.keeper.tokens.peek('eol', 570_001)).toBeNull();
    await bench.clock.advance(570_000);
    expect(one.keeper.tokens.peek('eol', 0)).toBeNull();
    expect(one.asked).toEqual([]);
  });

  test('serves no token any more once its grant has ended, whichever worker ended it', async () => {
    using bench = await workersBench();
    const [one, two] = bench.workers;
    await bench.world.imported();
    await bench.clock.until(one.keeper.tokens.get('eol', { minTtlMs: null, waitMs: 0 }));
    await bench.clock.until(two.keeper.grants.end('eol'));
    await bench.clock.advance(0);
    expect(one.keeper.tokens.peek('eol', 0)).toBeNull();
    const error = await failure(bench.clock.until(one.keeper.tokens.get('eol', { minTtlMs: null, waitMs: 0 })));
    expect(error.code).toBe('grant_revoked');
  });

  test('serves the newer token once there is one, and no name that its grant has lost', async () => {
    using bench = await workersBench();
    const [one, two] = bench.workers;
    await bench.world.imported();
    await bench.clock.until(one.keeper.tokens.get('eol', { minTtlMs: null, waitMs: 0 }));
    await bench.clock.advance(590_000);
    await bench.clock.until(two.keeper.tokens.refresh('eol'));
    await bench.clock.advance(0);
    expect(one.keeper.tokens.peek('eol', 0)?.accessToken.reveal() ?? 'none').not.toBe('at-0-eol');
    await bench.clock.until(one.keeper.tokens.get('eol', { minTtlMs: null, waitMs: 0 }));
    expect(one.keeper.tokens.peek('eol', 0)?.accessToken.reveal()).toBe('at-1');
    await bench.clock.until(two.keeper.grants.update('eol', { alias: 'other' }));
    await bench.clock.advance(0);
    expect(one.keeper.tokens.peek('eol', 0)).toBeNull();
    await bench.clock.until(one.keeper.tokens.get('other', { minTtlMs: null, waitMs: 0 }));
    expect(one.keeper.tokens.peek('other', 0)?.accessToken.reveal()).toBe('at-1');
  });

  test('tells a few times, not with each request, that a token near its end is in use; it is exchanged ahead', async () => {
    using bench = await workersBench();
    const [one] = bench.workers;
    await bench.world.imported();
    await bench.clock.until(one.keeper.tokens.get('eol', { minTtlMs: null, waitMs: 0 }));
    one.asked.length = 0;
    for (let s = 0; s < 599; s++) {
      await bench.clock.advance(1_000);
      for (let i = 0; i < 20; i++) one.keeper.tokens.peek('eol', 0);
      if (!one.keeper.tokens.peek('eol', 0)) break;
    }
    expect(one.asked.length).toBeGreaterThan(0);
    expect(one.asked.length).toBeLessThan(8);
    expect(new Set(one.asked)).toEqual(new Set(['tokens.nudge']));
    const live = await bench.clock.until(one.keeper.tokens.get('eol', { minTtlMs: null, waitMs: 0 }));
    expect(live.accessToken.reveal()).toBe('at-1');
    expect(bench.world.upstream.presented).toEqual(['rt-0-eol']);
  });

  test('keeps no token by itself while somebody doubts it, nor one that was found to be refused', async () => {
    using bench = await workersBench();
    const [one, two] = bench.workers;
    await bench.world.imported();
    const wish = { minTtlMs: null, waitMs: 0 };
    await bench.clock.until(one.keeper.tokens.get('eol', wish));
    // The account will say that the token is refused, and the exchange that follows gets no answer.
    const { upstream } = bench.world;
    upstream.account.status = 401;
    upstream.script.push(() => LOST);
    const asked = Promise.withResolvers<void>();
    const open = upstream.open.bind(upstream);
    upstream.open = async (url) => {
      await asked.promise;
      return open(url);
    };
    const rejected = createHash('sha256').update('at-0-eol').digest('base64url');
    const doubt = two.keeper.tokens.get('eol', { ...wish, rejected }).catch(() => null);
    await bench.clock.advance(0);
    expect(one.keeper.tokens.peek('eol', 0)).toBeNull();
    // Until it is known, others are served by the parent, each time.
    expect((await bench.clock.until(one.keeper.tokens.get('eol', wish))).accessToken.reveal()).toBe('at-0-eol');
    expect(one.keeper.tokens.peek('eol', 0)).toBeNull();
    asked.resolve();
    await bench.clock.until(doubt);
    expect(upstream.probed).toContain('at-0-eol');
    expect(one.keeper.tokens.peek('eol', 0)).toBeNull();
    expect(two.keeper.tokens.peek('eol', 0)).toBeNull();
  });
});

describe('what stops on one worker', () => {
  test('a client that is removed is refused by the others at once', async () => {
    using bench = await workersBench();
    const [one, two] = bench.workers;
    await bench.world.imported();
    const client = await bench.clock.until(two.clients.client());
    const form = { grant_type: 'refresh_token', refresh_token: client.refreshToken, ...client.credentials };
    await one.clients.token(form);
    one.asked.length = 0;
    await one.clients.token(form);
    expect(one.asked).toEqual([]);
    await bench.clock.until(two.offer.clients.remove(client.id));
    await bench.clock.advance(0);
    expect(await refused(one.clients.token(form))).toEqual({ error: 'invalid_client', status: 401 });
  });

  test('an API key that is removed is refused by the others at once', async () => {
    using bench = await workersBench();
    const [one, two] = bench.workers;
    const { key, text } = await bench.clock.until(two.apiKeys.create({ name: 'n', scopes: ['token'] }));
    expect(await bench.clock.until(one.apiKeys.verify(text.reveal()))).toMatchObject({ id: key.id });
    expect(one.apiKeys.recall(text.reveal())).toMatchObject({ id: key.id });
    await bench.clock.until(two.apiKeys.remove(key.id));
    await bench.clock.advance(0);
    expect(one.apiKeys.recall(text.reveal())).toBeNull();
    expect(await bench.clock.until(one.apiKeys.verify(text.reveal()))).toBeNull();
  });

  test('what the parent itself writes is heard by every worker before whoever asked for it is answered', async () => {
    using bench = await workersBench();
    const [one, two] = bench.workers;
    const heard: string[] = [];
    for (const { link } of [one, two]) link.watch((change) => heard.push(change.kind));
    await bench.clock.until(one.keeper.apps.create({ provider: 'test', clientId: 'c', clientSecret: null }));
    expect(heard).toEqual(['app', 'app']);
  });
});

describe('a parent that hangs', () => {
  test('is not believed for longer than a second: each request is checked anew, and waits', async () => {
    using bench = await workersBench();
    const [one] = bench.workers;
    const { key, text } = await bench.clock.until(one.apiKeys.create({ name: 'n', scopes: ['token'] }));
    bench.hang();
    await bench.clock.advance(900);
    expect(one.apiKeys.recall(text.reveal())).toMatchObject({ id: key.id });
    await bench.clock.advance(600);
    expect(one.apiKeys.recall(text.reveal())).toBeNull();
    expect(one.apiKeys.recall(ADMIN_KEY)).toMatchObject({ id: 'admin' });
    const verifying = one.apiKeys.verify(text.reveal());
    await bench.goOn();
    expect(await bench.clock.until(verifying)).toMatchObject({ id: key.id });
    await bench.clock.advance(1_000);
    expect(one.apiKeys.recall(text.reveal())).toMatchObject({ id: key.id });
  });

  test('leaves those who were checked lately their token for five minutes, and nobody else', async () => {
    using bench = await workersBench();
    const [one] = bench.workers;
    await bench.world.imported();
    const { text } = await bench.clock.until(one.apiKeys.create({ name: 'n', scopes: ['token'] }));
    const wish = { minTtlMs: null, waitMs: 0 };
    await bench.clock.until(one.keeper.tokens.get('eol', wish));
    bench.hang();
    await bench.clock.advance(290_000);
    expect(await one.apiKeys.verify(text.reveal())).not.toBeNull();
    expect((await one.keeper.tokens.get('eol', wish)).accessToken.reveal()).toBe('at-0-eol');
    expect(await failure(one.apiKeys.verify(`evg_${'x'.repeat(43)}`))).toMatchObject({ code: 'server_unavailable' });
    await bench.clock.advance(20_000);
    expect(await failure(one.apiKeys.verify(text.reveal()))).toMatchObject({ code: 'server_unavailable' });
    expect(await failure(one.keeper.tokens.get('eol', wish))).toMatchObject({ code: 'server_unavailable' });
    expect(bench.world.upstream.presented).toEqual([]);
  });

  test('is asked nothing more: callers get 503 and when to ask again, those who wait already too', async () => {
    using bench = await workersBench();
    const [one] = bench.workers;
    bench.hang();
    const early = failure(one.keeper.grants.list({ limit: 1, after: null }));
    await bench.clock.advance(6_000);
    for (const error of [await early, await failure(one.keeper.tokens.get('eol', { minTtlMs: null, waitMs: 0 }))]) {
      expect(error).toMatchObject({ code: 'server_unavailable', status: 503, details: { retryAfterMs: 2_000 } });
    }
    await bench.goOn();
    await expect(bench.clock.until(one.keeper.grants.list({ limit: 1, after: null }))).resolves.toBeDefined();
  });
});

describe('what all workers share', () => {
  test('a provider that says no to one is asked by none until its time is over', async () => {
    using bench = await workersBench();
    const [one, two] = bench.workers;
    const { id } = await bench.world.imported();
    const api = await bench.clock.until(one.keeper.apis.of(id));
    const spent = await bench.clock.until(Promise.resolve(one.shared.budgets.take(api, 'x', bench.clock.now())));
    if (!('answered' in spent)) throw new Error('it was refused');
    spent.answered(429, { 'retry-after': '30', 'set-cookie': 'x' }, bench.clock.now());
    await bench.clock.advance(0);
    for (const { shared } of [one, two]) {
      const again = await bench.clock.until(Promise.resolve(shared.budgets.take(api, 'x', bench.clock.now())));
      expect(again).toMatchObject({ retryAfterMs: 30_000 });
    }
  });

  test('what one worker changed at a provider is forgotten by the caches of all before its caller is answered', async () => {
    using bench = await workersBench();
    const [one, two] = bench.workers;
    const forgotten: string[] = [];
    for (const { shared } of [one, two]) shared.outdated.watch((key) => forgotten.push(key));
    await bench.clock.until(Promise.resolve(one.shared.outdated.tell('grant GET /x')));
    await bench.clock.until(two.ask('keeper.isReady'));
    expect(forgotten).toEqual(['grant GET /x', 'grant GET /x']);
  });

  test('counts of all workers are figures of the server, asked of any', async () => {
    using bench = await workersBench();
    const [one, two] = bench.workers;
    for (const { metrics } of [one, two]) {
      metrics.servedFromMemory();
      metrics.servedFromMemory();
      metrics.tokenRequest('ok');
      metrics.request('GET', '/v1/grants', 200, 0.01);
    }
    await bench.clock.until(two.metrics.tell());
    const text = await bench.clock.until(one.metrics.text());
    expect(text).toContain('evergrant_token_requests_total{outcome="memory"} 4');
    expect(text).toContain('evergrant_token_requests_total{outcome="ok"} 2');
    expect(text).toMatch(/evergrant_http_request_duration_seconds_count\{[^}]*route="\/v1\/grants"[^}]*\} 2/);
  });

  test('requests that a worker had under way are over when it is gone', async () => {
    using bench = await workersBench();
    const [one] = bench.workers;
    const { id } = await bench.world.imported();
    const api = await bench.clock.until(one.keeper.apis.of(id));
    await bench.clock.until(Promise.resolve(one.shared.budgets.take(api, 'x', bench.clock.now())));
    one.end.close();
    const heard: unknown[] = [];
    one.link.watch((change) => heard.push(change));
    bench.announced.tell({ kind: 'unsure' });
    await bench.clock.advance(0);
    expect(heard).toEqual([]);
  });
});
