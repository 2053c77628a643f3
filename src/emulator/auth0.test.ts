import { describe, expect, test } from 'vitest';
import { FORM, formNamed, type Said, TestClient, type Tokens, tokensOf } from './client.fixture.ts';
import type { Switches } from './form.ts';

const DAY = 86_400;
const OFFLINE = { scope: 'openid profile offline_access' };
const DEAD = '{"error":"invalid_grant","error_description":"Unknown or invalid refresh token."}';

interface LogEntry {
  readonly type: string;
  readonly log_id: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

class Auth0Client extends TestClient {
  constructor(switches: Partial<Switches> = {}) {
    super({ form: formNamed('auth0'), switches });
  }

  start(): Promise<Tokens> {
    return this.connect(OFFLINE);
  }

  async manage(method: string, path: string, body = ''): Promise<Said> {
    const { access_token } = JSON.parse((await this.token({ grant_type: 'client_credentials' })).text);
    return this.send(
      method,
      path,
      { authorization: `Bearer ${access_token}`, 'content-type': 'application/json' },
      body,
    );
  }

  async logs(type: string): Promise<readonly LogEntry[]> {
    return JSON.parse((await this.manage('GET', `/api/v2/logs?q=type:${type}`)).text);
  }
}

describe('rotation', () => {
  test('[S94] a dead refresh token gets 403 and these bytes, whatever it died of', async () => {
    const client = new Auth0Client();
    const { refresh } = await client.start();
    const next = tokensOf(await client.refresh(refresh));
    expect(await client.refresh(refresh)).toMatchObject({ status: 403, text: DEAD });
    expect(await client.refresh(next.refresh)).toMatchObject({ status: 403, text: DEAD });
    expect(await client.refresh('v1.never-issued')).toMatchObject({ status: 403, text: DEAD });
  });

  test('[S96] within the leeway the previous token gives tokens; after it, it ends the whole family', async () => {
    const client = new Auth0Client({ leewayMs: 30_000 });
    const { refresh } = await client.start();
    const next = tokensOf(await client.refresh(refresh));
    expect((await client.at(29).refresh(refresh)).status).toBe(200);
    expect(await client.at(31).refresh(refresh)).toMatchObject({ status: 403, text: DEAD });
    expect(await client.refresh(next.refresh)).toMatchObject({ status: 403 });
  });

  test('[S97] each use within the leeway gives another token of the same family, and all of them are good', async () => {
    const client = new Auth0Client({ leewayMs: 30_000 });
    const { refresh } = await client.start();
    const siblings = [tokensOf(await client.refresh(refresh)), tokensOf(await client.refresh(refresh))];
    expect(new Set(siblings.map((one) => one.refresh)).size).toBe(2);
    expect(client.server.families()).toHaveLength(1);
    for (const one of siblings) expect((await client.refresh(one.refresh)).status).toBe(200);
  });

  test('[S100] the second-last token ends the family even within the leeway', async () => {
    const client = new Auth0Client({ leewayMs: 30_000 });
    const first = await client.start();
    const second = tokensOf(await client.refresh(first.refresh));
    const third = tokensOf(await client.refresh(second.refresh));
    expect(await client.at(1).refresh(first.refresh)).toMatchObject({ status: 403, text: DEAD });
    expect(await client.refresh(third.refresh)).toMatchObject({ status: 403 });
  });

  test('without rotation a token goes on, is named once, and each exchange gives an access token', async () => {
    const client = new Auth0Client({ rotation: false });
    const { refresh } = await client.start();
    const answers = [await client.refresh(refresh), await client.at(60).refresh(refresh)];
    for (const { text } of answers) expect(JSON.parse(text)).not.toHaveProperty('refresh_token');
    expect(answers.map((one) => one.status)).toEqual([200, 200]);
  });

  test('switching rotation off ends the chains that were rotated', async () => {
    const client = new Auth0Client();
    const next = tokensOf(await client.refresh((await client.start()).refresh));
    client.server.change({ rotation: false });
    expect((await client.refresh(next.refresh)).status).toBe(403);
  });
});

describe('lives', () => {
  test('[S101] the absolute life counts from the authorization, however often the token is exchanged', async () => {
    const client = new Auth0Client({ absoluteMs: 90 * DAY * 1000 });
    let { refresh } = await client.start();
    for (const day of [20, 40, 60, 80]) refresh = tokensOf(await client.at(day * DAY).refresh(refresh)).refresh;
    refresh = tokensOf(await client.at(90 * DAY - 1).refresh(refresh)).refresh;
    expect(await client.at(90 * DAY + 1).refresh(refresh)).toMatchObject({ status: 403, text: DEAD });
  });

  test('the idle life begins anew at each exchange', async () => {
    const client = new Auth0Client({ idleMs: 10 * DAY * 1000 });
    const { refresh } = tokensOf(await client.at(0).refresh((await client.start()).refresh));
    const next = tokensOf(await client.at(9 * DAY).refresh(refresh));
    expect((await client.at(20 * DAY).refresh(next.refresh)).status).toBe(403);
  });

  test('no refresh token comes without offline_access', async () => {
    const client = new Auth0Client();
    const said = await client.redeem(await client.code({ scope: 'openid profile' }));
    expect(JSON.parse(said.text)).toMatchObject({ expires_in: 86_400, token_type: 'Bearer', scope: 'openid profile' });
    expect(JSON.parse(said.text)).not.toHaveProperty('refresh_token');
  });
});

describe('the log', () => {
  test('[S98] [S99] a reused token is logged as ferrt, with its family, its count, and the newest count', async () => {
    const client = new Auth0Client();
    const first = await client.start();
    let { refresh } = first;
    for (let i = 0; i < 3; i++) refresh = tokensOf(await client.refresh(refresh)).refresh;
    await client.refresh(first.refresh);
    expect((await client.logs('ferrt')).map((one) => one.details)).toEqual([
      { familyId: 'family-1', tokenCounter: 1, latestCounter: 4 },
    ]);
  });

  test('successes are sertft, later failures of the family fertft, revocations srrt', async () => {
    const client = new Auth0Client();
    const first = await client.start();
    const second = tokensOf(await client.refresh(first.refresh));
    await client.refresh(first.refresh);
    await client.refresh(second.refresh);
    expect(await client.logs('sertft')).toMatchObject([{ details: { familyId: 'family-1', tokenCounter: 2 } }]);
    expect(await client.logs('fertft')).toMatchObject([{ details: { failure_reason: 'grant_revoked' } }]);
    const { clientId, clientSecret } = client.server.defaultApp();
    const third = await client.start();
    const body = new URLSearchParams({ client_id: clientId, client_secret: clientSecret, token: third.refresh });
    expect((await client.send('POST', '/oauth/revoke', FORM, String(body))).status).toBe(200);
    expect((await client.refresh(third.refresh)).status).toBe(403);
    expect(await client.logs('srrt')).toHaveLength(1);
  });

  test('[S103] the 201st token removes the oldest without a word, and the log calls it resource_cleanup', async () => {
    const client = new Auth0Client();
    const tokens: Tokens[] = [];
    for (let i = 0; i < 201; i++) tokens.push(await client.start());
    expect((await client.refresh(tokens[0]?.refresh ?? '')).status).toBe(403);
    expect((await client.refresh(tokens[1]?.refresh ?? '')).status).toBe(200);
    expect((await client.logs('resource_cleanup')).map((one) => one.details)).toEqual([
      { resource: 'refresh_token', start: 201, removedCount: 1, endCount: 200 },
    ]);
  });

  test('[S95] the log forgets after its retention, and then nothing tells why', async () => {
    const client = new Auth0Client({ logRetentionMs: 2 * DAY * 1000 });
    const { refresh } = await client.start();
    await client.refresh(refresh);
    await client.refresh(refresh);
    expect(await client.at(DAY).logs('ferrt')).toHaveLength(1);
    expect(await client.at(3 * DAY).logs('ferrt')).toEqual([]);
  });

  test('an entry has the fields that the published schema requires', async () => {
    const client = new Auth0Client();
    const { refresh } = await client.start();
    await client.refresh(refresh);
    await client.refresh(refresh);
    const required = [
      'audience',
      'client_name',
      'description',
      'details',
      'environment_name',
      'hostname',
      'ip',
      'log_id',
      'tenant_name',
      'type',
    ];
    expect(Object.keys((await client.logs('ferrt'))[0] ?? {})).toEqual(expect.arrayContaining(required));
  });
});

describe('the rest of a tenant', () => {
  test('tokens can be asked for with JSON', async () => {
    const client = new Auth0Client();
    const { refresh } = await client.start();
    const { clientId, clientSecret } = client.server.defaultApp();
    const body = {
      grant_type: 'refresh_token',
      client_id: clientId,
      client_secret: clientSecret,
      refresh_token: refresh,
    };
    const said = await client.send(
      'POST',
      '/oauth/token',
      { 'content-type': 'application/json' },
      JSON.stringify(body),
    );
    expect(said.status).toBe(200);
  });

  test('the settings of an app are read and changed where Auth0 has them', async () => {
    const client = new Auth0Client();
    const path = `/api/v2/clients/${client.server.defaultApp().clientId}`;
    const before = JSON.parse((await client.manage('GET', path)).text);
    expect(before.refresh_token).toMatchObject({ rotation_type: 'rotating', leeway: 0, token_lifetime: 2_592_000 });
    const wish = { refresh_token: { leeway: 7, expiration_type: 'non-expiring', idle_token_lifetime: 60 } };
    const after = JSON.parse((await client.manage('PATCH', path, JSON.stringify(wish))).text);
    expect(after.refresh_token).toMatchObject({ leeway: 7, infinite_token_lifetime: true, idle_token_lifetime: 60 });
    expect((await client.send('GET', path)).status).toBe(401);
  });

  test('userinfo and id_token name the same user', async () => {
    const client = new Auth0Client();
    const said = JSON.parse((await client.redeem(await client.code({ ...OFFLINE, nonce: 'n-1' }))).text);
    const claims = JSON.parse(Buffer.from(said.id_token.split('.')[1], 'base64url').toString());
    const info = JSON.parse((await client.get('/userinfo', said.access_token)).text);
    expect(info.sub).toBe(claims.sub);
    expect(claims).toMatchObject({ nonce: 'n-1', aud: client.server.defaultApp().clientId });
  });
});
