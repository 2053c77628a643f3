import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { Secret } from '../src/core/secret.ts';
import type { Opened } from '../src/issuer/authorize.ts';
import { ErrorForClient } from '../src/issuer/authorization-request.ts';
import type { NewClient } from '../src/issuer/clients.ts';
import { issuerBench, parameters, refused } from './support/issuer-bench.ts';
import { json } from './support/scripted-upstream.ts';

const CALLBACK = 'https://reports.example/callback';
const VERIFIER = 'v'.repeat(43);
const CHALLENGE = createHash('sha256').update(VERIFIER).digest('base64url');
const PKCE = { code_challenge: CHALLENGE, code_challenge_method: 'S256' };
/** Where a person sits who connects, or types a code. */
const HERE = '198.51.100.7';
const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';
const tooMuch = { error: 'temporarily_unavailable', status: 503 };
const INVALID_GRANT = { error: 'invalid_grant', status: 400 };

async function consumer(wish: Partial<NewClient> = {}, options: Parameters<typeof issuerBench>[0] = {}) {
  const bench = await issuerBench(options);
  const { keeper, app, clock } = bench.world;
  const client = await bench.client({ grants: [], apps: [app.id], redirectUris: [CALLBACK], ...wish });
  const { authorize } = bench.issuer;
  const asking = { client_id: client.id, response_type: 'code', state: 'xyz', redirect_uri: CALLBACK };

  /** The person signs in at the provider and comes back; gives where the browser goes then. */
  async function comeBack({ location, browserCookie }: Opened, how: { readonly error?: string } = {}) {
    const state = new URL(location).searchParams.get('state');
    const code = how.error === undefined ? new Secret('authorization code', 'upstream-code') : null;
    const callback = { state, code, error: how.error ?? null, errorDescription: null, iss: null };
    const outcome = await clock.until(keeper.authorizations.finish(callback, browserCookie));
    return { outcome, onward: await authorize.finished(outcome) };
  }

  async function codeFor(fields: Readonly<Record<string, string>> = {}) {
    const { onward } = await comeBack(await authorize.open(parameters({ ...asking, ...fields }), HERE));
    return new URL(onward?.location ?? '').searchParams.get('code') ?? '';
  }

  const redeem = (code: string, more: object = {}) =>
    bench.token({ grant_type: 'authorization_code', code, redirect_uri: CALLBACK, ...client.credentials, ...more });
  return { bench, client, authorize, asking, comeBack, codeFor, redeem };
}

/** What goes back to the client, where something does. */
async function told(work: Promise<unknown>): Promise<Readonly<Record<string, string>>> {
  const error = await work.then(
    () => null,
    (cause: unknown) => cause,
  );
  if (!(error instanceof ErrorForClient)) throw error;
  return Object.fromEntries(new URL(error.location).searchParams);
}

describe('a consumer application', () => {
  test('connects its user with plain OAuth: to the provider, back with a code, tokens of its own [S90]', async () => {
    const { bench, client, codeFor, redeem, authorize, asking, comeBack } = await consumer();
    expect(await authorize.view(parameters({ ...asking, ...PKCE }))).toMatchObject({
      clientName: 'Reports',
      provider: 'test',
      alias: null,
      redirectUri: CALLBACK,
    });
    const { onward } = await comeBack(await authorize.open(parameters({ ...asking, ...PKCE }), HERE));
    const back = new URL(onward?.location ?? '');
    expect(back.origin + back.pathname).toBe(CALLBACK);
    expect(back.searchParams.get('state')).toBe('xyz');
    expect(back.searchParams.get('iss')).toBe('http://127.0.0.1:8787');
    const answer = await redeem(back.searchParams.get('code') ?? '', { code_verifier: VERIFIER });
    expect(answer).toMatchObject({ access_token: 'at-1', token_type: 'Bearer' });
    expect(answer.refresh_token).toMatch(/^evr_/);
    expect(await client.refresh(answer.refresh_token)).toMatchObject({ access_token: 'at-1' });
    const grants = await bench.world.keeper.grants.list({ limit: 10, after: null });
    const held = async () => (await bench.issuer.clients.tokens(client.id)).map(({ grant }) => grant);
    expect(await held()).toEqual(grants.items.map(({ id }) => id));
    // The same person once more is the same grant, for another client as well.
    expect(await redeem(await codeFor())).toMatchObject({ access_token: 'at-2' });
    expect(new Set(await held()).size).toBe(1);
    expect(await bench.token({ grant_type: 'client_credentials', ...client.credentials })).toMatchObject({
      access_token: 'at-2',
    });
  });

  test('gets a code that works once; what came of it ends when it comes again', async () => {
    const { codeFor, redeem, client, bench } = await consumer();
    const code = await codeFor();
    const { refresh_token: token = '' } = await redeem(code);
    expect(await refused(redeem(code))).toEqual(INVALID_GRANT);
    expect(await refused(client.refresh(token))).toEqual(INVALID_GRANT);
    expect(bench.events.map(({ type }) => type)).toContain('code_replayed');
  });

  test('gives one set of tokens for a code that comes twice at once', async () => {
    const { codeFor, redeem } = await consumer();
    const code = await codeFor();
    const results = await Promise.allSettled([redeem(code), redeem(code)]);
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  test.each([
    ['after a minute', async (world) => world.bench.world.clock.advance(60_001).then(() => ({}))],
    ['with another verifier', async () => ({ code_verifier: 'w'.repeat(43) })],
    ['without the verifier', async () => ({ code_verifier: '' })],
    ['with another redirect_uri', async () => ({ redirect_uri: `${CALLBACK}/x` })],
    ['without the redirect_uri', async () => ({ redirect_uri: '' })],
    ['by another client', async (world) => (await world.bench.client({ grants: [] })).credentials],
  ] satisfies [string, (world: Awaited<ReturnType<typeof consumer>>) => Promise<object>][])(
    'gets nothing for its code %s',
    async (_, change) => {
      const world = await consumer();
      const code = await world.codeFor(PKCE);
      const more = await change(world);
      expect(await refused(world.redeem(code, { code_verifier: VERIFIER, ...more }))).toEqual(INVALID_GRANT);
    },
  );

  test('gets nothing for a verifier where its request had no challenge', async () => {
    const { codeFor, redeem } = await consumer();
    expect(await refused(redeem(await codeFor(), { code_verifier: VERIFIER }))).toEqual(INVALID_GRANT);
  });

  test.each([
    ['a hundred scopes and one', Array.from({ length: 101 }, (_, i) => `s${i}`).join(' ')],
    ['a scope without an end', 'x'.repeat(5_000)],
  ])('does not ask for %s, for all of it would be kept and handed on', async (_, scope) => {
    const { bench, client, authorize, asking } = await consumer();
    expect(await told(authorize.view(parameters({ ...asking, scope })))).toMatchObject({ error: 'invalid_request' });
    const request = { authorization: undefined, parameters: parameters({ ...asking, ...client.credentials, scope }) };
    expect(await refused(bench.issuer.push(request))).toMatchObject({ error: 'invalid_request' });
    const device = { authorization: undefined, parameters: parameters({ ...client.credentials, scope }) };
    expect(await refused(bench.issuer.beginDevice(device))).toMatchObject({ error: 'invalid_request' });
  });

  test('hears that the person said no', async () => {
    const { authorize, asking, comeBack } = await consumer();
    const { onward } = await comeBack(await authorize.open(parameters(asking), HERE), { error: 'access_denied' });
    const back = new URL(onward?.location ?? '').searchParams;
    expect([back.get('error'), back.get('state'), back.get('code')]).toEqual(['access_denied', 'xyz', null]);
  });

  test.each([
    ['https://reports.example.evil.example/callback'],
    ['https://reports.example/callback/../callback'],
    ['https://reports.example/callback?x=1'],
    ['https://reports.example/callback/'],
    ['https://reports.example/Callback'],
    ['https://reports.example:443/callback'],
    ['https://user@reports.example/callback'],
    ['http://reports.example/callback'],
    ['https://reports.example/callback%2f'],
  ])('is sent nowhere for a redirect_uri that only looks like its own: %s', async (uri) => {
    const { authorize, asking } = await consumer();
    const opening = authorize.open(parameters({ ...asking, redirect_uri: uri }), HERE);
    expect(await refused(opening)).toMatchObject({ error: 'invalid_request' });
  });

  test('on a desktop may use any port of its loopback address, and nothing else', async () => {
    const { authorize, asking } = await consumer({ redirectUris: ['http://127.0.0.1/cb'] });
    const view = (uri: string) => authorize.view(parameters({ ...asking, redirect_uri: uri }));
    expect(await view('http://127.0.0.1:49152/cb')).toMatchObject({ redirectUri: 'http://127.0.0.1:49152/cb' });
    for (const uri of [
      'http://127.0.0.1:49152/other',
      'http://localhost:49152/cb',
      'http://127.0.0.1.evil.example/cb',
      'http://127.0.0.1:80@evil.example/cb',
    ]) {
      expect(await refused(view(uri))).toMatchObject({ error: 'invalid_request' });
    }
  });

  test.each([
    [{ response_type: 'token' }, 'unsupported_response_type'],
    [{ response_type: '' }, 'invalid_request'],
    [{ code_challenge: CHALLENGE }, 'invalid_request'],
    [{ code_challenge: VERIFIER, code_challenge_method: 'plain' }, 'invalid_request'],
    [{ app: 'app_other' }, 'invalid_target'],
    [{ resource: 'http://127.0.0.1:8787/proxy/nothing' }, 'invalid_target'],
    [{ owner: 'somebody' }, 'invalid_request'],
    [{ request: 'eyJ' }, 'invalid_request'],
  ])('hears what is wrong with its request: %j', async (change, error) => {
    const { authorize, asking } = await consumer();
    expect(await told(authorize.view(parameters({ ...asking, ...change })))).toMatchObject({ error, state: 'xyz' });
  });

  test('that is public must send a code_challenge', async () => {
    const { authorize, asking } = await consumer({ authMethod: 'none' });
    expect(await told(authorize.view(parameters(asking)))).toMatchObject({ error: 'invalid_request' });
  });
});

describe('a grant that is there', () => {
  async function existing() {
    const world = await consumer();
    const { redeem, codeFor, bench, client } = world;
    await redeem(await codeFor());
    await bench.issuer.clients.update(client.id, { apps: [] });
    return world;
  }

  test('is renewed by the person whose account it is, and by nobody else', async () => {
    const { redeem, codeFor, authorize, asking, comeBack, bench } = await existing();
    expect(await authorize.view(parameters(asking))).toMatchObject({ account: 'Account One' });
    expect(await redeem(await codeFor())).toMatchObject({ access_token: 'at-2' });
    bench.world.upstream.account = { status: 200, body: { sub: 'account-2', name: 'Somebody Else' } };
    const { outcome, onward } = await comeBack(await authorize.open(parameters(asking), HERE));
    expect(outcome.outcome).toBe('failed');
    expect(new URL(onward?.location ?? '').searchParams.get('error')).toBe('access_denied');
  });

  test('whose account is not known is only for a client that has proved itself first', async () => {
    const { bench, client, authorize, asking } = await consumer({}, { provider: { identity: null } });
    await bench.world.imported();
    await bench.issuer.clients.update(client.id, { apps: [], grants: ['eol'] });
    expect(await told(authorize.open(parameters(asking), HERE))).toMatchObject({ error: 'access_denied' });
    const pushed = { authorization: undefined, parameters: parameters({ ...asking, ...client.credentials }) };
    const { requestUri } = await bench.issuer.push(pushed);
    const opened = await authorize.open(parameters({ client_id: client.id, request_uri: requestUri }), HERE);
    expect(opened.location).toContain('http://127.0.0.1/authorize');
  });
});

describe('a pushed request', () => {
  test('is used once, by its own client, within 90 seconds', async () => {
    const { bench, client, authorize, asking } = await consumer();
    const push = async () => {
      const fields = { ...asking, ...client.credentials, owner: 'user-7' };
      return (await bench.issuer.push({ authorization: undefined, parameters: parameters(fields) })).requestUri;
    };
    const open = (uri: string, id = client.id) => authorize.open(parameters({ client_id: id, request_uri: uri }), HERE);
    const uri = await push();
    const other = await bench.client({ grants: [] });
    expect(await refused(open(uri, other.id))).toMatchObject({ error: 'invalid_request' });
    await open(uri);
    expect(await refused(open(uri))).toMatchObject({ error: 'invalid_request' });
    const grants = await bench.world.keeper.grants.list({ owner: 'user-7', limit: 10, after: null });
    expect(grants.items).toHaveLength(1);
    const late = await push();
    await bench.world.clock.advance(90_001);
    expect(await refused(open(late))).toMatchObject({ error: 'invalid_request' });
  });
});

describe('a device', () => {
  async function device() {
    const world = await consumer({ redirectUris: [] });
    const fields = parameters({ ...world.client.credentials });
    const begun = await world.bench.issuer.beginDevice({ authorization: undefined, parameters: fields });
    const poll = () =>
      world.bench.token({ grant_type: DEVICE, device_code: begun.deviceCode, ...world.client.credentials });
    return { ...world, ...begun, poll };
  }

  test('gets its tokens once the person has typed its code and signed in elsewhere', async () => {
    const { userCode, poll, authorize, comeBack, bench } = await device();
    expect(userCode).toMatch(/^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/);
    expect(await refused(poll())).toMatchObject({ error: 'authorization_pending' });
    expect(await refused(poll())).toMatchObject({ error: 'slow_down' });
    expect(await authorize.viewDevice(userCode.toLowerCase().replace('-', ' '), HERE)).toMatchObject({
      clientName: 'Reports',
    });
    const { onward } = await comeBack(await authorize.openDevice(userCode, HERE));
    expect(onward).toEqual({ location: null });
    await bench.world.clock.advance(5_000);
    const answer = await poll();
    expect(answer).toMatchObject({ access_token: 'at-1', refresh_token: expect.stringMatching(/^evr_/) });
    expect(await refused(poll())).toEqual(INVALID_GRANT);
  });

  test('hears that the person said no, and that it took too long', async () => {
    const denied = await device();
    await denied.comeBack(await denied.authorize.openDevice(denied.userCode, HERE), { error: 'access_denied' });
    expect(await refused(denied.poll())).toMatchObject({ error: 'access_denied' });
    const slow = await device();
    await slow.bench.world.clock.advance(600_001);
    expect(await refused(slow.poll())).toMatchObject({ error: 'expired_token' });
    expect(await refused(slow.authorize.openDevice(slow.userCode, HERE))).toMatchObject({ error: 'expired_token' });
  });

  test('has a code that nobody finds by trying, and who tries keeps nobody elsewhere from typing theirs', async () => {
    const { authorize, userCode, bench } = await device();
    for (let i = 0; i < 30; i++) {
      expect(await refused(authorize.viewDevice('BBBB-BBBB', HERE))).toMatchObject({ error: 'expired_token' });
    }
    expect(await refused(authorize.viewDevice(userCode, HERE))).toMatchObject(tooMuch);
    expect(await refused(authorize.openDevice(userCode, HERE))).toMatchObject(tooMuch);
    expect(await authorize.viewDevice(userCode, '198.51.100.8')).toMatchObject({ clientName: 'Reports' });
    await bench.world.clock.advance(60_001);
    expect(await authorize.viewDevice(userCode, HERE)).toMatchObject({ clientName: 'Reports' });
  });

  test.each([
    ['2001:db8::1', '2001:db8:0:0:ffff::2', '2001:db8:0:1::1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::', '2001:db8:1::6'],
    ['::ffff:198.51.100.7', '198.51.100.7', '::ffff:198.51.100.8'],
    ['::1', '::2', '127.0.0.1'],
  ])('has a code that %s cannot try under the name of %s as well; %s is another', async (one, same, other) => {
    const { authorize, userCode } = await device();
    for (let i = 0; i < 30; i++) await refused(authorize.viewDevice('BBBB-BBBB', one));
    expect(await refused(authorize.viewDevice(userCode, same))).toMatchObject(tooMuch);
    expect(await authorize.viewDevice(userCode, other)).toMatchObject({ clientName: 'Reports' });
  });

  test('has a code that many together do not find either', async () => {
    const { authorize, userCode } = await device();
    for (let i = 0; i < 300; i++) await refused(authorize.viewDevice('BBBB-BBBB', `198.51.${i}.7`));
    expect(await refused(authorize.viewDevice(userCode, HERE))).toMatchObject(tooMuch);
  });
});

describe('requests in masses', () => {
  const push = ({ bench, asking, client }: Awaited<ReturnType<typeof consumer>>) =>
    bench.issuer.push({ authorization: undefined, parameters: parameters({ ...asking, ...client.credentials }) });
  const stored = async ({ bench }: Awaited<ReturnType<typeof consumer>>) =>
    bench.asked.filter((one) => one === 'insert client-request').length -
    bench.asked.filter((one) => one === 'remove client-request').length;

  test('of one client are refused beyond some number, and those of others are not', async () => {
    const world = await consumer();
    for (let i = 0; i < 1_000; i++) await push(world);
    expect(await refused(push(world))).toMatchObject(tooMuch);
    const device = { authorization: undefined, parameters: parameters(world.client.credentials) };
    expect(await refused(world.bench.issuer.beginDevice(device))).toMatchObject({ error: 'temporarily_unavailable' });
    const client = await world.bench.client({ grants: [], apps: [world.bench.world.app.id], redirectUris: [CALLBACK] });
    const asking = { ...world.asking, client_id: client.id };
    expect(await push({ ...world, client, asking })).toMatchObject({ expiresInS: 90 });
    await world.bench.world.clock.leap(600_000);
    expect(await push(world)).toMatchObject({ expiresInS: 90 });
  });

  test('leave nothing behind once they are over', async () => {
    const world = await consumer();
    for (let i = 0; i < 900; i++) await push(world);
    await world.bench.world.clock.leap(4_000_000);
    await push(world);
    await world.bench.world.clock.advance(15_000);
    expect(await stored(world)).toBe(1);
  });

  /** Begins so many, all from one address. */
  async function begin({ authorize, asking }: Awaited<ReturnType<typeof consumer>>, from: string, count: number) {
    for (let i = 0; i < count; i++) await authorize.open(parameters(asking), from);
  }

  test('that begin authorizations of a client are refused at their address, and people elsewhere go on', async () => {
    const world = await consumer();
    const [stranger, other] = ['2001:db8::1', '2001:db8:0:1::1'];
    await begin(world, stranger, 250);
    expect(await refused(begin(world, '2001:db8::2', 1))).toMatchObject(tooMuch);
    await begin(world, other, 1);
    await world.bench.world.clock.leap(1_800_000);
    await begin(world, stranger, 1);
  });

  test('from many addresses leave room for whoever comes from another one, and push nobody out', async () => {
    const world = await consumer();
    const { authorize, asking, comeBack } = world;
    const person = await authorize.open(parameters(asking), HERE);
    for (let network = 0; network < 4; network++) await begin(world, `203.0.113.${network}`, 249);
    await begin(world, '203.0.113.4', 3);
    for (const taken of ['203.0.113.0', '203.0.113.4'])
      expect(await refused(begin(world, taken, 1)), taken).toMatchObject(tooMuch);
    await begin(world, '203.0.113.5', 3);
    await begin(world, HERE, 2);
    expect(await refused(begin(world, HERE, 1))).toMatchObject(tooMuch);
    const { onward } = await comeBack(person);
    expect(new URL(onward?.location ?? '').searchParams.get('code')).toMatch(/./);
    // What has come to its end counts no more.
    await begin(world, HERE, 1);
  });

  test('that strangers begin do not concern whom a client sends that has proved itself', async () => {
    const world = await consumer();
    const { bench, authorize, client, asking } = world;
    await begin(world, HERE, 250);
    expect(await refused(begin(world, HERE, 1))).toMatchObject(tooMuch);
    const { requestUri } = await push(world);
    const opened = await authorize.open(parameters({ client_id: client.id, request_uri: requestUri }), HERE);
    expect(opened.location).toContain('http');
    const device = await bench.issuer.beginDevice({
      authorization: undefined,
      parameters: parameters(client.credentials),
    });
    expect((await authorize.openDevice(device.userCode, HERE)).location).toContain('http');
    const other = await bench.client({ grants: [], apps: [bench.world.app.id], redirectUris: [CALLBACK] });
    expect((await authorize.open(parameters({ ...asking, client_id: other.id }), HERE)).location).toContain('http');
  });

  test('in the name of a public client are counted for the address they come from', async () => {
    const { bench, client, asking } = await consumer({ authMethod: 'none' });
    const fields = parameters({ ...asking, ...client.credentials, ...PKCE });
    const ask = (from: string) => ({ authorization: undefined, parameters: fields, from });
    for (let i = 0; i < 125; i++) {
      await bench.issuer.push(ask(HERE));
      await bench.issuer.beginDevice(ask(HERE));
    }
    expect(await refused(bench.issuer.push(ask(HERE)))).toMatchObject(tooMuch);
    expect(await refused(bench.issuer.beginDevice(ask(HERE)))).toMatchObject(tooMuch);
    expect(await bench.issuer.push(ask('198.51.100.8'))).toMatchObject({ expiresInS: 90 });
  });
});

test('grants that nobody authorized in the end are taken away again', async () => {
  const { bench, authorize, asking, client, codeFor, redeem } = await consumer();
  for (let i = 0; i < 5; i++) await authorize.open(parameters(asking), HERE);
  const { refresh_token: token = '' } = await redeem(await codeFor());
  const count = async () => (await bench.world.keeper.grants.list({ limit: 50, after: null })).items.length;
  expect(await count()).toBe(6);
  await bench.world.clock.leap(6_000_000);
  bench.world.upstream.script.push(() => json(200, { access_token: 'at-x', refresh_token: 'rt-x', expires_in: 600 }));
  await client.refresh(token);
  await bench.world.clock.advance(90_000);
  expect(await count()).toBe(1);
});
