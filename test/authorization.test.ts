/** Getting and renewing a grant through a browser, on a bench: real keeper and store, a scripted provider. */
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { POLICIES } from '../src/core/policies.fixture.ts';
import { StoreFailure } from '../src/ports/store.ts';
import { createMemoryStore } from '../src/storage/memory/store.ts';
import { bench } from './support/keeper-bench.ts';
import { callback, connected, opened, renewed } from './support/browser-flow.ts';
import { refusal } from './support/refusal.ts';
import { answer, json, LOST } from './support/scripted-upstream.ts';

describe('an authorization', () => {
  test('gives a grant that knows its account, and a token at once', async () => {
    const world = await bench();
    const { grant, outcome } = await connected(world);
    expect(outcome).toMatchObject({ outcome: 'done', joined: false });
    expect(await world.keeper.grants.get(grant.id)).toMatchObject({
      state: 'active',
      generation: 1,
      account: { subject: 'account-1', label: 'Account One' },
    });
    expect(world.keeper.tokens.peek('eol', 5_000)?.accessToken.reveal()).toBe('at-1');
    expect(world.upstream.presented).toEqual(['the-code']);
  });

  test('sends a PKCE challenge, and the verifier with the code (RFC 7636)', async () => {
    const world = await bench();
    const { url, state, browserCookie } = await opened(world);
    let verifier = '';
    world.upstream.script.push((form) => {
      verifier = form.get('code_verifier') ?? '';
      return world.upstream.tokens();
    });
    await world.clock.until(world.keeper.authorizations.finish(callback(state), browserCookie));
    expect(url.searchParams.get('code_challenge')).toBe(createHash('sha256').update(verifier).digest('base64url'));
    expect(url.searchParams.get('code_challenge_method')).toBe('S256');
  });

  test('works only in the browser that began it', async () => {
    const world = await bench();
    const { state } = await opened(world);
    for (const cookie of [null, 'another']) {
      const error = await refusal(world.keeper.authorizations.finish(callback(state), cookie));
      expect(error.code).toBe('another_browser');
    }
    expect(world.upstream.presented).toEqual([]);
  });

  test('has a link that works once', async () => {
    const world = await bench();
    const { ticket } = await opened(world);
    expect((await refusal(world.keeper.authorizations.open(ticket))).code).toBe('link_used');
    expect((await refusal(world.keeper.authorizations.view(ticket))).code).toBe('link_used');
  });

  test('has a link that works for ten minutes', async () => {
    const world = await bench();
    const grant = await world.keeper.grants.create({ app: world.app.id, alias: 'eol' });
    const { ticket } = await world.keeper.authorizations.begin(grant.id, {});
    await world.clock.advance(9 * 60_000);
    expect((await world.keeper.authorizations.view(ticket)).providerName).toBe('Test Provider');
    await world.clock.advance(2 * 60_000);
    expect((await refusal(world.keeper.authorizations.open(ticket))).code).toBe('link_expired');
  });

  test('of two clicks at once goes on with one', async () => {
    const world = await bench();
    const grant = await world.keeper.grants.create({ app: world.app.id, alias: 'eol' });
    const { ticket } = await world.keeper.authorizations.begin(grant.id, {});
    const clicks = await Promise.allSettled([1, 2, 3].map(() => world.keeper.authorizations.open(ticket)));
    expect(clicks.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  test('sends its code once, however often the callback is called [S13]', async () => {
    const world = await bench();
    const { state, browserCookie } = await opened(world);
    const calls = [1, 2, 3].map(() => world.keeper.authorizations.finish(callback(state), browserCookie));
    const outcomes = await world.clock.until(Promise.all(calls));
    const later = await world.clock.until(world.keeper.authorizations.finish(callback(state), browserCookie));
    for (const outcome of [...outcomes, later]) expect(outcome).toMatchObject({ outcome: 'done' });
    expect(world.upstream.presented).toEqual(['the-code']);
    expect((await world.keeper.grants.get('eol')).generation).toBe(1);
  });

  test.each([
    ['was denied by the person', { error: 'access_denied', code: null }, 'Access was not allowed at Test Provider.'],
    ['came back with an error', { error: 'server_error', code: null }, 'Test Provider answered "server_error".'],
    ['came back with nothing', { code: null }, 'Test Provider sent the browser back without a code.'],
  ])('that %s says so, and the grant stays pending', async (_name, change, reason) => {
    const world = await bench();
    const { state, browserCookie } = await opened(world);
    const outcome = await world.keeper.authorizations.finish(callback(state, change), browserCookie);
    expect(outcome).toMatchObject({ outcome: 'failed', reason });
    expect((await world.keeper.grants.get('eol')).state).toBe('pending');
  });

  test.each([0, 1, 2])(
    'whose code was recorded and not sent, for the store failed %d calls later, is finished by a reload',
    async (n) => {
      const { records, ...rest } = createMemoryStore();
      let failing = Number.POSITIVE_INFINITY;
      const failingRecords: typeof records = {
        ...records,
        async get(kind, id) {
          if (failing-- === 0) throw new Error('database is locked');
          return records.get(kind, id);
        },
        async update(kind, id, version, body, terms) {
          const written = await records.update(kind, id, version, body, terms);
          if (body.includes('"status":"coded"')) failing = n;
          if (failing-- === 0) throw new Error('database is locked');
          return written;
        },
      };
      const world = await bench({ store: { ...rest, records: failingRecords } });
      const { state, browserCookie } = await opened(world);
      const finish = () => world.clock.until(world.keeper.authorizations.finish(callback(state), browserCookie));
      await expect(finish()).rejects.toThrow('database is locked');
      expect(world.upstream.presented).toEqual([]);
      expect(await finish()).toMatchObject({ outcome: 'done' });
      expect(world.upstream.presented).toEqual(['the-code']);
    },
  );

  test('that is over leaves the database after a while, and the journal at once, however it ended', async () => {
    const world = await bench();
    const { records } = world.store;
    const kept = async () => (await records.list('authorization', { limit: 200, after: null })).items.length;
    const { grant } = await connected(world);
    world.upstream.script.push(() => json(400, { error: 'invalid_grant' }));
    expect(await renewed(world, grant.id)).toMatchObject({ outcome: 'failed' });
    expect(world.journal.unsettled()).toEqual([]);
    for (let i = 0; i < 30; i++) await world.keeper.authorizations.begin(grant.id, {});
    expect(await kept()).toBe(32);
    await world.clock.advance(8 * 86_400_000);
    for (let i = 0; i < 5; i++) await world.keeper.authorizations.begin(grant.id, {});
    expect(await kept()).toBe(5);
  });

  test('is finished although the store fails for a while after the answer was kept', async () => {
    const store = createMemoryStore();
    let failures = 0;
    const read: typeof store.chains.read = (grant) =>
      failures-- > 0 ? Promise.reject(new StoreFailure(new Error('the connection broke'))) : store.chains.read(grant);
    const world = await bench({ store: { ...store, chains: { ...store.chains, read } } });
    const { grant, state, browserCookie } = await opened(world);
    world.upstream.script.push(() => {
      failures = 3;
      return world.upstream.tokens();
    });
    const outcome = await world.clock.until(world.keeper.authorizations.finish(callback(state), browserCookie));
    expect(outcome).toMatchObject({ outcome: 'done' });
    expect((await world.keeper.grants.get(grant.id)).state).toBe('active');
    expect(world.upstream.presented).toEqual(['the-code']);
  });

  test('is refused when another authorization server answers (RFC 9207)', async () => {
    const world = await bench({
      provider: { issuer: 'https://right.example', authorizationResponseIss: true },
    });
    for (const iss of [null, 'https://wrong.example']) {
      const { state, browserCookie } = await opened(world, `eol${iss === null ? 1 : 2}`);
      const outcome = await world.keeper.authorizations.finish(callback(state, { iss }), browserCookie);
      expect(outcome).toMatchObject({
        outcome: 'failed',
        reason: expect.stringContaining('another authorization server'),
      });
    }
    expect(world.upstream.presented).toEqual([]);
  });

  test.each([
    ['the code is refused', () => json(400, { error: 'invalid_grant' }), 'refused the authorization code'],
    ['the answer is lost', () => LOST, 'did not answer'],
    ['the answer is a page', () => answer(502, '<html></html>'), 'refused the authorization code'],
    ['there is no refresh token', () => json(200, { access_token: 'at', expires_in: 600 }), 'no refresh token'],
  ])('tells when %s, and a new link works', async (_name, reply, reason) => {
    const world = await bench();
    world.upstream.script.push(reply);
    const { outcome, grant } = await connected(world);
    expect(outcome).toMatchObject({ outcome: 'failed', reason: expect.stringContaining(reason) });
    expect(await renewed(world, grant.id)).toMatchObject({ outcome: 'done' });
  });

  test('without a browser takes the return address from the one who has the link', async () => {
    const world = await bench();
    const grant = await world.keeper.grants.create({ app: world.app.id, alias: 'eol' });
    const { ticket } = await world.keeper.authorizations.begin(grant.id, {});
    const { location } = await world.keeper.authorizations.openWithoutBrowser('eol', ticket);
    const state = new URL(location).searchParams.get('state');
    expect((await refusal(world.keeper.authorizations.finishPasted('eol', ticket, callback('other')))).code).toBe(
      'not_found',
    );
    const outcome = await world.clock.until(world.keeper.authorizations.finishPasted('eol', ticket, callback(state)));
    expect(outcome).toMatchObject({ outcome: 'done' });
  });
});

describe('a pasted return address', () => {
  test('is taken only for the grant that the link is of', async () => {
    const world = await bench();
    const { ticket } = await opened(world, 'eol');
    await world.keeper.grants.create({ app: world.app.id, alias: 'other' });
    const error = await refusal(world.keeper.authorizations.finishPasted('other', ticket, callback('state')));
    expect(error.code).toBe('not_found');
  });
});

describe('the same account of the same app', () => {
  test('is one grant: the one that holds it takes the new chain over, and no token is dropped [S28] [S36]', async () => {
    const world = await bench();
    const first = await connected(world, 'first');
    const second = await connected(world, 'second');
    expect(second.outcome).toMatchObject({
      outcome: 'done',
      joined: true,
      grant: { id: first.grant.id, generation: 2 },
    });
    expect((await refusal(world.keeper.grants.get('second'))).code).toBe('not_found');
    await world.clock.advance(600_000);
    await world.clock.until(world.keeper.tokens.get('first', { minTtlMs: 5_000, waitMs: 30_000 }));
    expect(world.upstream.presented.at(-1)).toBe('rt-2');
  });

  test('authorized twice at the same time is still one grant [S36]', async () => {
    const world = await bench();
    const both = await Promise.all([opened(world, 'one'), opened(world, 'two')]);
    const outcomes = both.map(({ state, browserCookie }) =>
      world.keeper.authorizations.finish(callback(state), browserCookie),
    );
    const done = await world.clock.until(Promise.all(outcomes));
    expect(done.map(({ outcome }) => outcome)).toEqual(['done', 'done']);
    expect((await world.keeper.grants.list({ limit: 10, after: null })).items).toHaveLength(1);
  });
});

describe('a renewal', () => {
  test('by the same account starts the next generation of the same grant [S107]', async () => {
    const world = await bench();
    const { grant } = await connected(world);
    expect(await renewed(world, grant.id)).toMatchObject({ outcome: 'done', joined: false });
    expect(await world.keeper.grants.get(grant.id)).toMatchObject({ state: 'active', generation: 2 });
  });

  test('by another account is refused, and the old chain goes on [S80]', async () => {
    const world = await bench();
    const { grant } = await connected(world);
    world.upstream.account = { status: 200, body: { sub: 'account-2', name: 'Somebody else' } };
    const outcome = await renewed(world, grant.id);
    expect(outcome).toMatchObject({ outcome: 'failed', reason: expect.stringContaining('another account') });
    expect(await world.keeper.grants.get(grant.id)).toMatchObject({ state: 'active', generation: 1 });
    await world.clock.advance(600_000);
    await world.clock.until(world.keeper.tokens.get('eol', { minTtlMs: 5_000, waitMs: 30_000 }));
    expect(world.upstream.presented.at(-1)).toBe('rt-1');
  });

  test('whose account cannot be read changes nothing yet, keeps what came, and is checked again', async () => {
    const world = await bench();
    const { grant } = await connected(world);
    world.upstream.account = { status: 500, body: { sub: '', name: '' } };
    const { ticket } = await world.keeper.authorizations.begin(grant.id, {});
    const { location, browserCookie } = await world.keeper.authorizations.open(ticket);
    const back = callback(new URL(location).searchParams.get('state'));
    const unsure = await world.clock.until(world.keeper.authorizations.finish(back, browserCookie));
    expect(unsure).toMatchObject({ outcome: 'failed', remedy: expect.stringContaining('Reload') });
    expect((await world.keeper.grants.get(grant.id)).generation).toBe(1);
    world.upstream.account = { status: 200, body: { sub: 'account-1', name: 'Account One' } };
    const sure = await world.clock.until(world.keeper.authorizations.finish(back, browserCookie));
    expect(sure).toMatchObject({ outcome: 'done', grant: { generation: 2 } });
    expect(world.upstream.presented).toEqual(['the-code', 'the-code']);
  });

  test('while an exchange of the old chain is on the wire wins: the late answer does not displace it', async () => {
    const world = await bench({ policy: POLICIES.oneTime });
    const { grant } = await connected(world);
    await world.clock.advance(600_000);
    let open: () => void = () => undefined;
    world.upstream.gate = () => new Promise((done) => (open = done));
    const asked = world.keeper.tokens.get('eol', { minTtlMs: 5_000, waitMs: 0 });
    asked.catch(() => undefined);
    await world.clock.advance(10);
    world.upstream.gate = async () => undefined;
    const renewal = renewed(world, grant.id);
    await world.clock.advance(100);
    open();
    expect(await renewal).toMatchObject({ outcome: 'done' });
    await world.clock.advance(600_000);
    await world.clock.until(world.keeper.tokens.get('eol', { minTtlMs: 5_000, waitMs: 30_000 }));
    const renewedToken = world.upstream.presented.at(-1);
    expect(renewedToken).toBe('rt-3');
  });
});

describe('a server that stops', () => {
  test('waits for the answer to a code that it has sent, and keeps it, although the browser is gone', async () => {
    const world = await bench();
    const { state, browserCookie } = await opened(world);
    let open: () => void = () => undefined;
    world.upstream.gate = () => new Promise((done) => (open = done));
    world.keeper.authorizations.finish(callback(state), browserCookie).catch(() => undefined);
    await world.clock.advance(1_000);
    let isOver = false;
    const drained = world.keeper.drain(125_000).then(() => (isOver = true));
    await world.clock.advance(60_000);
    expect(isOver).toBe(false);
    open();
    await world.clock.until(drained);
    expect((await world.keeper.grants.get('eol')).state).toBe('active');
  });
});

describe('after a crash an authorization', () => {
  test('whose code was recorded but not sent goes on by itself, while the code lives', async () => {
    const world = await bench();
    const { state, browserCookie } = await opened(world);
    const { network } = { network: world.upstream.open.bind(world.upstream) };
    world.upstream.open = () => new Promise(() => undefined);
    world.keeper.authorizations.finish(callback(state), browserCookie).catch(() => undefined);
    await world.clock.advance(1_000);
    world.upstream.open = network;
    await world.restart();
    await world.clock.advance(1_000);
    expect((await world.keeper.grants.get('eol')).state).toBe('active');
    expect(world.upstream.presented).toEqual(['the-code']);
  });

  test('whose code was sent without an answer does not send it again, and says what to do', async () => {
    const world = await bench();
    const { state, browserCookie } = await opened(world);
    world.upstream.gate = () => new Promise(() => undefined);
    world.keeper.authorizations.finish(callback(state), browserCookie).catch(() => undefined);
    await world.clock.advance(1_000);
    world.upstream.gate = async () => undefined;
    await world.restart();
    const outcome = await world.clock.until(world.keeper.authorizations.finish(callback(state), browserCookie));
    expect(outcome).toMatchObject({ outcome: 'failed', remedy: expect.stringContaining('new link') });
    expect(world.upstream.presented).toEqual(['the-code']);
  });

  test('whose answer was journaled is finished from there', async () => {
    const world = await bench();
    const { state, browserCookie } = await opened(world);
    const { records } = world.store;
    const update = records.update.bind(records);
    records.update = (kind, id, version, body, terms) =>
      body.includes('"answered"') ? new Promise(() => undefined) : update(kind, id, version, body, terms);
    world.keeper.authorizations.finish(callback(state), browserCookie).catch(() => undefined);
    await world.clock.advance(1_000);
    records.update = update;
    await world.restart();
    await world.clock.advance(1_000);
    expect((await world.keeper.grants.get('eol')).state).toBe('active');
    expect(world.upstream.presented).toEqual(['the-code']);
  });
});

describe('a grant that was ended', () => {
  test('gives no token any more, live or not, and frees its alias for another', async () => {
    const world = await bench();
    const { grant } = await connected(world);
    await world.keeper.grants.end('eol');
    const error = await refusal(world.keeper.tokens.get('eol', { minTtlMs: 5_000, waitMs: 0 }));
    expect(error.code).toBe('grant_revoked');
    expect(world.keeper.tokens.peek('eol', 0)).toBeNull();
    expect((await refusal(world.keeper.authorizations.begin(grant.id, {}))).code).toBe('grant_revoked');
    const again = await connected(world);
    expect(again.outcome).toMatchObject({ outcome: 'done', joined: false });
    expect(again.grant.id).not.toBe(grant.id);
    expect((await world.keeper.grants.get(grant.id)).state).toBe('revoked');
  });

  test('frees its alias also for those who had asked for its tokens by it', async () => {
    const world = await bench();
    const codeNow = () => refusal(world.keeper.tokens.get('eol', { minTtlMs: 0, waitMs: 0 })).then(({ code }) => code);
    await world.imported('eol');
    const other = await world.imported('other');
    await world.keeper.tokens.get('other', { minTtlMs: 0, waitMs: 0 });
    await world.keeper.grants.end('eol');
    expect(await codeNow()).toBe('grant_revoked');
    await world.keeper.grants.create({ app: world.app.id, alias: 'eol' });
    expect(await codeNow()).toBe('authorization_pending');
    await world.keeper.grants.end('eol');
    expect(await codeNow()).toBe('grant_revoked');
    await world.keeper.grants.update(other.id, { alias: 'eol' });
    expect((await world.keeper.tokens.get('eol', { minTtlMs: 0, waitMs: 0 })).accessToken.reveal()).toBe('at-0-other');
  });

  test('while an exchange is on the wire stays ended', async () => {
    const world = await bench();
    await connected(world);
    await world.clock.advance(600_000);
    let open: () => void = () => undefined;
    world.upstream.gate = () => new Promise((done) => (open = done));
    world.keeper.tokens.get('eol', { minTtlMs: 5_000, waitMs: 0 }).catch(() => undefined);
    await world.clock.advance(10);
    const ending = world.keeper.grants.end('eol');
    open();
    await world.clock.until(ending);
    await world.clock.advance(1_000);
    expect((await world.keeper.grants.get('eol')).state).toBe('revoked');
    expect(world.keeper.tokens.peek('eol', 0)).toBeNull();
  });
});
