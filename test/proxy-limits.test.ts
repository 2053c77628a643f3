/** Limits of providers and what may be kept of their answers, at the proxy: told by headers, kept for all callers. */
import type { ServerResponse } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { ShiftedClock } from './support/shifted-clock.ts';
import { type ProxyWorld, proxyWorld } from './support/proxy-world.ts';

let world: ProxyWorld;
const clock = new ShiftedClock();
afterEach(() => world?.[Symbol.asyncDispose]());

const LIMITS = {
  api_limits: { by: '/v1/{division}', errors: { most: 3, window: 3600, statuses: [400, 404] } },
};

async function open(settings: Parameters<typeof proxyWorld>[0] = {}, provider: Record<string, unknown> = LIMITS) {
  world = await proxyWorld(settings, provider, { clock });
  await world.addGrant('eol');
  return world;
}

async function ask(path: string, init?: RequestInit) {
  const answer = await world.get(path, init);
  const text = await answer.text();
  return {
    status: answer.status,
    headers: answer.headers,
    text,
    json: () => JSON.parse(text) as Record<string, unknown>,
  };
}

describe('a limit that the provider tells by headers', () => {
  /** As Exact Online counts: by minute, for each company. */
  function counting(limit: number): void {
    const counts = new Map<string, number>();
    world.answering = ({ url }, answer) => {
      const minute = Math.floor(clock.now() / 60_000);
      const key = `${url.split('/')[3]} ${minute}`;
      const count = (counts.get(key) ?? 0) + 1;
      counts.set(key, count);
      answer.setHeader('x-ratelimit-minutely-limit', limit);
      answer.setHeader('x-ratelimit-minutely-remaining', Math.max(0, limit - count));
      answer.setHeader('x-ratelimit-minutely-reset', (minute + 1) * 60_000);
      answer.writeHead(count > limit ? 429 : 200).end();
    };
  }

  /** The tests below take a second; so no minute ends in them. */
  const beginMinute = () => clock.advance(60_000 - (clock.now() % 60_000) + 1);

  test('[S32] [S88] is shared by all callers and never exceeded: what is too much waits here, with the time to wait', async () => {
    await open();
    counting(10);
    beginMinute();
    const other = await world.keyWith('proxy');
    // The first one teaches the limit.
    const statuses = [(await ask('/proxy/eol/v1/1/x')).status];
    for (const round of [0, 1, 2]) {
      const headers = round % 2 === 0 ? {} : { authorization: `Bearer ${other}` };
      const all = await Promise.all(Array.from({ length: 5 }, () => ask('/proxy/eol/v1/1/x', { headers })));
      statuses.push(...all.map(({ status }) => status));
    }
    expect([statuses.filter((status) => status === 200).length, world.seen.length]).toEqual([10, 10]);
    const refused = await ask('/proxy/eol/v1/1/x');
    const { code, retry_after: wait } = refused.json();
    expect([refused.status, code, refused.headers.get('retry-after')]).toEqual([429, 'rate_limited', String(wait)]);
    expect(wait).toBeGreaterThan(40);
    clock.advance(60_000);
    expect((await ask('/proxy/eol/v1/1/x')).status).toBe(200);
  });

  test('[S43] holds for one company; the others behind the same grant go on', async () => {
    await open();
    counting(3);
    beginMinute();
    for (let i = 0; i < 5; i++) await ask('/proxy/eol/v1/1/x');
    const others = await Promise.all(Array.from({ length: 200 }, (_, i) => ask(`/proxy/eol/v1/${i + 2}/x`)));
    expect(new Set(others.map(({ status }) => status))).toEqual(new Set([200]));
    expect(world.seen.filter(({ url }) => url === '/api/v1/1/x')).toHaveLength(3);
  });

  test('[S88] of one company is taken for that of the next, also before any answer came from there', async () => {
    await open();
    counting(10);
    beginMinute();
    await ask('/proxy/eol/v1/1/x');
    const { answering } = world;
    world.answering = async (...asked) => {
      await pause(200);
      await answering(...asked);
    };
    const statuses = (await Promise.all(Array.from({ length: 30 }, () => ask('/proxy/eol/v1/2/x')))).map(
      ({ status }) => status,
    );
    expect(statuses.filter((status) => status === 200)).toHaveLength(10);
    expect(world.seen.filter(({ url }) => url === '/api/v1/2/x')).toHaveLength(10);
  });

  test('holds nobody back for good when the API was away as its time ended', async () => {
    await open();
    counting(3);
    beginMinute();
    await ask('/proxy/eol/v1/1/x');
    const { answering } = world;
    clock.advance(60_000);
    world.answering = (_, answer) => void answer.destroy();
    for (let i = 0; i < 5; i++) await ask('/proxy/eol/v1/1/x');
    world.answering = answering;
    expect((await ask('/proxy/eol/v1/1/x')).status).toBe(200);
  });

  test('[S88] is shared by all grants of one app that reach the same company', async () => {
    await open();
    await world.addGrant('other');
    counting(4);
    beginMinute();
    await ask('/proxy/eol/v1/1/x');
    for (let i = 0; i < 3; i++) await ask('/proxy/other/v1/1/x');
    expect([(await ask('/proxy/eol/v1/1/x')).status, world.seen.length]).toEqual([429, 4]);
  });

  test('counts what others use beside us', async () => {
    await open();
    beginMinute();
    const minuteEnd = clock.now() - (clock.now() % 60_000) + 60_000;
    world.answering = (_, answer) => {
      answer.setHeader('x-ratelimit-minutely-limit', 60).setHeader('x-ratelimit-minutely-reset', minuteEnd);
      answer.setHeader('x-ratelimit-minutely-remaining', 2 - world.seen.length).end();
    };
    const statuses: number[] = [];
    for (let i = 0; i < 4; i++) statuses.push((await ask('/proxy/eol/v1/1/x')).status);
    expect([statuses, world.seen.length]).toEqual([[200, 200, 429, 429], 2]);
  });

  test('for a day, in seconds or milliseconds, holds until its end', async () => {
    await open();
    const end = Math.floor(clock.now() / 1000) + 7_200;
    world.answering = (_, answer) => {
      answer
        .setHeader('x-ratelimit-limit', 5_000)
        .setHeader('x-ratelimit-remaining', 0)
        .setHeader('x-ratelimit-reset', end);
      answer.writeHead(429).end();
    };
    expect((await ask('/proxy/eol/v1/1/x')).status).toBe(429);
    const refused = await ask('/proxy/eol/v1/1/x');
    expect([refused.json().code, world.seen.length]).toEqual(['rate_limited', 1]);
    expect(Number(refused.json().retry_after)).toBeGreaterThan(7_100);
  });

  test('of errors keeps an endpoint from being asked until it would block the app', async () => {
    await open();
    world.answering = (_, answer) => answer.writeHead(404).end();
    const statuses: number[] = [];
    for (let i = 0; i < 5; i++) statuses.push((await ask(`/proxy/eol/v1/1/crm/Accounts(guid'${i}')`)).status);
    expect([statuses, world.seen.length]).toEqual([[404, 404, 404, 429, 429], 3]);
    expect((await ask('/proxy/eol/v1/1/crm/Contacts')).status).toBe(404);
    clock.advance(3_600_000);
    expect((await ask("/proxy/eol/v1/1/crm/Accounts(guid'9')")).status).toBe(404);
  });
});

describe('a caller who writes one path in several ways', () => {
  const WAYS = [
    '/v1/1/crm/Accounts',
    '/v1/1/crm/%41ccounts',
    '/v1/%31/CRM/accounts/',
    "/V1/01/crm/Accounts%28guid'1')",
  ];

  test('is held by the limit of errors all the same', async () => {
    await open();
    world.answering = (_, answer) => answer.writeHead(404).end();
    const statuses: number[] = [];
    for (const way of WAYS) statuses.push((await ask(`/proxy/eol${way}`)).status);
    expect([statuses, world.seen.length]).toEqual([[404, 404, 404, 429], 3]);
  });

  test('is held by the limit of a company all the same', async () => {
    await open();
    const endsAt = clock.now() + 3_600_000;
    world.answering = (_, answer) => {
      const left = { 'x-ratelimit-limit': '5000', 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(endsAt) };
      answer.writeHead(200, left).end();
    };
    for (const [i, way] of WAYS.entries()) {
      expect([way, (await ask(`/proxy/eol${way}`)).status]).toEqual([way, i === 0 ? 200 : 429]);
    }
    expect((await ask('/proxy/eol/v1/2/crm/Accounts')).status).toBe(200);
  });
});

describe('a provider that says "later" (429 with Retry-After)', () => {
  const later = (seconds: string) => (_: unknown, answer: ServerResponse) =>
    answer.writeHead(429, { 'retry-after': seconds, 'content-type': 'application/json' }).end('{"error":"slow down"}');

  test('is answered as it said it, and until then nobody asks again for this grant', async () => {
    await open({}, {});
    await world.addGrant('other');
    world.answering = later('30');
    const first = await ask('/proxy/eol/v1/x');
    expect([first.status, first.text, first.headers.get('retry-after')]).toEqual([429, '{"error":"slow down"}', '30']);
    const second = await ask('/proxy/eol/v1/y');
    expect([second.status, second.json().code, second.json().retry_after]).toEqual([429, 'rate_limited', 30]);
    expect(world.seen).toHaveLength(1);
    world.answering = (_, answer) => answer.end();
    expect((await ask('/proxy/other/v1/x')).status).toBe(200);
    clock.advance(30_000);
    expect((await ask('/proxy/eol/v1/x')).status).toBe(200);
  });

  test('for a very long time is asked again after five minutes, since it may be about something else', async () => {
    await open({}, {});
    world.answering = later('86400');
    await ask('/proxy/eol/v1/x');
    clock.advance(301_000);
    await ask('/proxy/eol/v1/x');
    expect(world.seen).toHaveLength(2);
  });
});

describe('an answer that the provider allows to be kept', () => {
  const kept = { proxyCacheBytes: 1_000_000 };
  let count = 0;
  const giving = (headers: Record<string, string>) => {
    count = 0;
    world.answering = (_, answer) => answer.writeHead(200, headers).end(`answer ${++count}`);
  };
  const texts = async (...paths: string[]) => {
    const all: string[] = [];
    for (const path of paths) all.push((await ask(path)).text);
    return all;
  };

  test('[S46] is asked for once as long as it is fresh, and anew afterwards', async () => {
    await open(kept);
    giving({ 'cache-control': 'private, max-age=60' });
    expect(await texts('/proxy/eol/v1/x', '/proxy/eol/v1/x', '/proxy/eol/v1/y')).toEqual([
      'answer 1',
      'answer 1',
      'answer 2',
    ]);
    clock.advance(61_000);
    expect(await texts('/proxy/eol/v1/x')).toEqual(['answer 3']);
  });

  test('belongs to one grant and is given to no other', async () => {
    await open(kept);
    await world.addGrant('other');
    giving({ 'cache-control': 'public, max-age=60' });
    expect(await texts('/proxy/eol/v1/x', '/proxy/other/v1/x')).toEqual(['answer 1', 'answer 2']);
  });

  test('is gone with its grant', async () => {
    await open(kept);
    giving({ 'cache-control': 'max-age=60' });
    await ask('/proxy/eol/v1/x');
    await world.api('DELETE', '/v1/grants/eol');
    expect((await ask('/proxy/eol/v1/x')).status).toBe(410);
  });

  test('is asked about with its tag once it is stale, and shown again when it is still right', async () => {
    await open(kept);
    world.answering = ({ headers }, answer) => {
      const isSame = headers['if-none-match'] === '"1"';
      answer.writeHead(isSame ? 304 : 200, { etag: '"1"', 'cache-control': 'max-age=60' }).end(isSame ? '' : 'answer');
    };
    await ask('/proxy/eol/v1/x');
    clock.advance(61_000);
    const { status, text } = await ask('/proxy/eol/v1/x');
    expect([status, text, world.seen.length]).toEqual([200, 'answer', 2]);
    await ask('/proxy/eol/v1/x');
    expect(world.seen).toHaveLength(2);
  });

  test('is not shown to a caller who asks about a newer one, in the name of the newer one', async () => {
    await open(kept);
    let current = '1';
    world.answering = ({ headers }, answer) => {
      const isSame = headers['if-none-match']?.includes(`"${current}"`) ?? false;
      answer.writeHead(isSame ? 304 : 200, { etag: `"${current}"`, 'cache-control': 'max-age=60' });
      answer.end(isSame ? '' : `answer ${current}`);
    };
    await ask('/proxy/eol/v1/x');
    clock.advance(61_000);
    current = '2';
    const { status, text } = await ask('/proxy/eol/v1/x', { headers: { 'if-none-match': '"2"' } });
    expect([status, text]).toEqual([304, '']);
    expect((await ask('/proxy/eol/v1/x')).text).toBe('answer 2');
  });

  test('that a newer one replaced meanwhile is not taken for the newer one', async () => {
    await open(kept);
    const seen: (() => void)[] = [];
    world.answering = (_, answer) => answer.writeHead(200, { etag: '"1"', 'cache-control': 'max-age=60' }).end('old');
    await ask('/proxy/eol/v1/x');
    clock.advance(61_000);
    world.answering = (_, answer) => {
      seen.push(() => answer.writeHead(304, { etag: '"1"', 'cache-control': 'max-age=60' }).end());
    };
    const slow = ask('/proxy/eol/v1/x');
    while (seen.length === 0) await new Promise((resolve) => setImmediate(resolve));
    world.answering = (_, answer) => answer.writeHead(200, { etag: '"2"', 'cache-control': 'max-age=60' }).end('new');
    expect((await ask('/proxy/eol/v1/x')).text).toBe('new');
    seen[0]?.();
    expect((await slow).text).toBe('old');
    const after = await ask('/proxy/eol/v1/x');
    expect([after.text, after.headers.get('etag')]).toEqual(['new', '"2"']);
  });

  test('differs by the headers that it names (Vary), and a change forgets it', async () => {
    await open(kept);
    giving({ 'cache-control': 'max-age=60', vary: 'accept' });
    await ask('/proxy/eol/v1/x', { headers: { accept: 'a/a' } });
    expect((await ask('/proxy/eol/v1/x', { headers: { accept: 'b/b' } })).text).toBe('answer 2');
    await ask('/proxy/eol/v1/x', { method: 'POST', body: 'change' });
    expect((await ask('/proxy/eol/v1/x', { headers: { accept: 'b/b' } })).text).toBe('answer 4');
  });

  test.each([
    ['no-store', { 'cache-control': 'no-store' }],
    ['no life', { 'last-modified': 'Sat, 01 Jan 2022 00:00:00 GMT' }],
  ])('with %s is not kept', async (_name, headers) => {
    await open(kept);
    giving(headers);
    expect(await texts('/proxy/eol/v1/x', '/proxy/eol/v1/x')).toEqual(['answer 1', 'answer 2']);
  });

  test('is not kept unless that was switched on', async () => {
    await open();
    giving({ 'cache-control': 'max-age=60' });
    expect(await texts('/proxy/eol/v1/x', '/proxy/eol/v1/x')).toEqual(['answer 1', 'answer 2']);
  });
});
