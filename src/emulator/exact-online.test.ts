import { describe, expect, test } from 'vitest';
import { CHAIN, FORM, OLD, START, TestClient, tokensOf } from './client.fixture.ts';
import { usDate } from './exact-online.ts';

const MINUTE = 60;
const DAY = 86_400;
const REPLAY =
  '{"error":"invalid_request","error_description":"This message has already been processed.  This could indicate a replay attack in progress."}';
const EARLY = '{ "error":"access_denied","error_description":"Rate limit exceeded: access_token not expired" }';

describe('tokens', () => {
  test('an answer has the key order, lower-case bearer and expires_in as a string', async () => {
    const client = new TestClient();
    const said = await client.redeem(await client.code());
    expect(said.status).toBe(200);
    expect(said.headers).toMatchObject({
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'no-store',
    });
    expect(said.text).toMatch(
      /^\{"access_token":"stampNL001\.gAAAA[\w-]+","token_type":"bearer","expires_in":"600","refresh_token":"stampNL001\.[\w-]{4}!IAAAA[\w-]+"\}$/,
    );
  });

  test('a code is longer than 600 characters, and its exclamation mark is percent-encoded in the redirect', async () => {
    const client = new TestClient();
    client.server.preselect({ decision: 'approve', user: null, once: true });
    const { headers } = await client.authorize();
    expect(headers.location).toMatch(
      /^http:\/\/127\.0\.0\.1:8787\/callback\?code=stampNL001\.[\w-]{4}%21IAAAA[\w-]{600}&state=s$/,
    );
  });

  test('[S11] a code may be a JWT instead', async () => {
    const client = new TestClient({ switches: { codeFormat: 'jwt' } });
    const code = await client.code();
    expect(code).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/);
    expect(JSON.parse(Buffer.from(code.split('.')[0] ?? '', 'base64url').toString())).toEqual({
      alg: 'HS256',
      typ: 'JWT',
    });
    expect((await client.redeem(code)).status).toBe(200);
  });

  test('the same seed and the same requests at the same times give the same tokens', async () => {
    const play = async (seed: number) => {
      const client = new TestClient({ seed });
      const first = await client.connect();
      return [first, tokensOf(await client.at(600).refresh(first.refresh))];
    };
    expect(await play(7)).toEqual(await play(7));
    expect(await play(7)).not.toEqual(await play(8));
  });
});

describe('codes', () => {
  test('[S13] a code works once; the second time gets the replay text with its two spaces', async () => {
    const client = new TestClient();
    const code = await client.code();
    const { refresh } = tokensOf(await client.redeem(code));
    expect(await client.redeem(code)).toMatchObject({ status: 400, text: REPLAY });
    expect((await client.at(570).refresh(refresh)).status).toBe(200);
  });

  test('[S10] a code is good at 179 seconds and too old at 181', async () => {
    const young = new TestClient();
    const code = await young.code();
    expect((await young.at(179).redeem(code)).status).toBe(200);
    const old = new TestClient();
    const late = await old.code();
    const said = await old.at(181).redeem(late);
    expect(said.status).toBe(400);
    expect(JSON.parse(said.text)).toEqual({
      error: 'invalid_request',
      error_description: 'The authorization code expired at 11/22/2026 9:03:00 AM and it is now 11/22/2026 9:03:01 AM.',
    });
  });

  test('[S12] the life of a code can be set', async () => {
    const client = new TestClient({ switches: { codeMs: 5000 } });
    const code = await client.code();
    expect((await client.at(6).redeem(code)).status).toBe(400);
  });

  test('a code is bound to its redirect URI, its client and its verifier', async () => {
    const client = new TestClient();
    const other = client.server.addApp('another', []);
    const challenge = Buffer.from('47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU').toString();
    expect(await client.redeem(await client.code(), { redirect_uri: 'http://127.0.0.1:1/callback' })).toMatchObject({
      status: 400,
      text: '{"error":"invalid_request"}',
    });
    const stolen = {
      grant_type: 'authorization_code',
      code: await client.code(),
      redirect_uri: 'http://127.0.0.1:8787/callback',
    };
    expect(await client.token(stolen, { ...other, redirectUris: [] })).toMatchObject({
      status: 400,
      text: '{"error":"invalid_client"}',
    });
    const bound = await client.code({ code_challenge: challenge, code_challenge_method: 'S256' });
    expect((await client.redeem(bound, { code_verifier: 'wrong' })).text).toBe('{"error":"invalid_grant"}');
    expect((await client.redeem(bound, { code_verifier: '' })).status).toBe(200);
  });

  test('[S17] the code of an earlier authorization is refused once a later one was exchanged', async () => {
    const client = new TestClient();
    const [first, second] = [await client.code(), await client.code()];
    expect((await client.redeem(second)).status).toBe(200);
    expect(await client.redeem(first)).toMatchObject({ status: 400, text: CHAIN });
  });
});

describe('refresh tokens', () => {
  test('[S2] a token lives 600 seconds from its own first use', async () => {
    const client = new TestClient({ switches: { spacingExempt: true } });
    const { refresh } = await client.connect();
    await client.at(1000).refresh(refresh);
    expect((await client.at(1599).refresh(refresh)).status).toBe(200);
    expect(await client.at(1601).refresh(refresh)).toMatchObject({ status: 401, text: OLD });
  });

  test('[S3] [S16] using the new access token ends the previous refresh token', async () => {
    const client = new TestClient();
    const first = await client.connect();
    const second = tokensOf(await client.at(570).refresh(first.refresh));
    expect((await client.at(571).me(second.access)).status).toBe(200);
    expect(await client.at(1150).refresh(first.refresh)).toMatchObject({ status: 401, text: OLD });
    expect((await client.refresh(second.refresh)).status).toBe(200);
  });

  test('[S3] presenting the new refresh token ends the previous one', async () => {
    const client = new TestClient({ switches: { spacingExempt: true } });
    const first = await client.connect();
    const second = tokensOf(await client.refresh(first.refresh));
    await client.refresh(second.refresh);
    expect(await client.refresh(first.refresh)).toMatchObject({ status: 401, text: OLD });
  });

  test('[S18] a newer token that was superseded before its use is answered as an old one', async () => {
    const client = new TestClient({ switches: { spacingExempt: true } });
    const first = await client.connect();
    const lost = tokensOf(await client.refresh(first.refresh));
    const kept = tokensOf(await client.refresh(first.refresh));
    expect(await client.refresh(lost.refresh)).toMatchObject({ status: 401, text: OLD });
    expect((await client.refresh(kept.refresh)).status).toBe(200);
  });

  test('after a lost answer the same token works between 570 and 600 seconds later', async () => {
    const client = new TestClient();
    const { refresh } = await client.connect();
    client.at(1000);
    client.server.addFaults([{ fault: 'drop-after-commit' }]);
    expect((await client.refresh(refresh)).delivery).toBe('none');
    expect((await client.at(1569).refresh(refresh)).text).toBe(EARLY);
    expect((await client.at(1571).refresh(refresh)).status).toBe(200);
  });

  test('where spacing counts delivered answers only, a lost answer can be asked for at once', async () => {
    const client = new TestClient({ switches: { spacingCounts: 'delivered' } });
    const { refresh } = await client.connect();
    client.at(1000).server.addFaults([{ fault: 'drop-after-commit' }]);
    await client.refresh(refresh);
    expect((await client.at(1001).refresh(refresh)).status).toBe(200);
  });

  test('[S25] a refresh is refused at 569 seconds and accepted at 570', async () => {
    const client = new TestClient();
    const { refresh } = await client.connect();
    const said = await client.at(569).refresh(refresh);
    expect(said).toMatchObject({ status: 400, text: EARLY });
    expect(said.headers.reason).toBe('TooEarlyToRefreshTokens: Rate limit exceeded: access_token not expired');
    expect((await client.at(570).refresh(refresh)).status).toBe(200);
  });

  test('too early may also be said with status 401, as the documentation has it', async () => {
    const client = new TestClient({ switches: { tooEarlyStatus: 401 } });
    const { refresh } = await client.connect();
    expect(await client.at(1).refresh(refresh)).toMatchObject({ status: 401, text: EARLY });
  });

  test('[S26] a server with that fault advances the chain although it says too early', async () => {
    const client = new TestClient({ switches: { earlyRefresh: 'error-and-advance' } });
    const first = await client.connect();
    const second = tokensOf(await client.at(570).refresh(first.refresh));
    expect((await client.at(580).refresh(second.refresh)).text).toBe(EARLY);
    expect(client.server.families()[0]?.tokens.map((one) => one.state)).toEqual(['spent', 'spent', 'unspent']);
  });

  test('[S26] a server with that fault gives a dead refresh token when asked too early', async () => {
    const client = new TestClient({ switches: { earlyRefresh: 'dead-token' } });
    const first = await client.connect();
    const dead = tokensOf(await client.at(10).refresh(first.refresh));
    expect(await client.at(600).refresh(dead.refresh)).toMatchObject({ status: 401, text: OLD });
  });

  test('which is said first, dead or too early, can be turned round', async () => {
    const early = async (errorOrder: 'chain-first' | 'spacing-first') => {
      const client = new TestClient({ switches: { errorOrder } });
      const first = await client.connect();
      const second = tokensOf(await client.at(570).refresh(first.refresh));
      await client.me(second.access);
      return (await client.at(571).refresh(first.refresh)).text;
    };
    expect([await early('chain-first'), await early('spacing-first')]).toEqual([OLD, EARLY]);
  });

  test('[S4] an unused token is good after 29 days and expired after 31, with dates in US form', async () => {
    const client = new TestClient();
    const { refresh } = await client.connect();
    expect((await client.at(29 * DAY).refresh(refresh)).status).toBe(200);
    const other = new TestClient();
    const old = await other.connect();
    const said = await other.at(31 * DAY).refresh(old.refresh);
    expect(said.status).toBe(400);
    expect(said.text).toBe(
      '{"error":"invalid_request","error_description":"The refresh token expired at 12/22/2026 9:00:00 AM and it is now 12/23/2026 9:00:00 AM."}',
    );
  });

  test('[S4] a change of the idle life holds for tokens that are out already', async () => {
    const client = new TestClient({ switches: { idleMs: 180 * DAY * 1000 } });
    const { refresh } = await client.connect();
    client.at(60 * DAY).server.change({ idleMs: 30 * DAY * 1000 });
    expect((await client.refresh(refresh)).text).toContain('The refresh token expired at');
  });

  test('[S5] an app that may reuse old tokens can use every one it ever had', async () => {
    const client = new TestClient({ switches: { allowOldRefreshTokens: true, spacingExempt: true } });
    const all = [(await client.connect()).refresh];
    for (let i = 0; i < 5; i++) all.push(tokensOf(await client.refresh(all.at(-1) ?? '')).refresh);
    for (const one of all) expect((await client.at(DAY).refresh(one)).status).toBe(200);
  });

  test('[S17] [S28] a new authorization of the same app and user ends the older chain', async () => {
    const client = new TestClient();
    const first = await client.connect();
    const second = await client.connect();
    const said = await client.at(570).refresh(first.refresh);
    expect(said).toMatchObject({ status: 400, text: CHAIN });
    expect(said.headers.reason).toBe('Unknown: Token is not allowed, because of invalid or empty chainId');
    expect((await client.refresh(second.refresh)).status).toBe(200);
  });

  test('[S41] another user of the same app has a chain of its own', async () => {
    const client = new TestClient();
    client.server.addUser({ username: 'otto' });
    const emma = await client.connect();
    client.server.preselect({ decision: 'approve', user: 'otto', once: true });
    const code = new URL((await client.authorize()).headers.location ?? '').searchParams.get('code') ?? '';
    const otto = tokensOf(await client.redeem(code));
    for (const { refresh } of [emma, otto]) expect((await client.at(570).refresh(refresh)).status).toBe(200);
  });

  test('[S1] a refresh token is no use to another app', async () => {
    const client = new TestClient();
    const other = { ...client.server.addApp('another', []), redirectUris: [] };
    const { refresh } = await client.connect();
    const said = await client.at(570).token({ grant_type: 'refresh_token', refresh_token: refresh }, other);
    expect(said).toMatchObject({ status: 400, text: '{"error":"invalid_client"}' });
    expect((await client.refresh(refresh)).status).toBe(200);
  });
});

describe('limits', () => {
  test('[S32] the 201st token call of a day is refused, and the next day begins anew', async () => {
    const client = new TestClient({ switches: { spacingExempt: true, errorsPerHour: 1000 } });
    let { refresh } = await client.connect();
    for (let i = 1; i < 200; i++) refresh = tokensOf(await client.refresh(refresh)).refresh;
    expect(await client.refresh(refresh)).toMatchObject({
      status: 429,
      text: '{ "error":"access_denied","error_description":"Rate limit exceeded" }',
    });
    expect((await client.at(DAY).refresh(refresh)).status).toBe(200);
  });

  test('after more than ten errors in an hour the endpoint is blocked for an hour', async () => {
    const client = new TestClient();
    const { refresh } = await client.connect();
    for (let i = 0; i < 11; i++) expect((await client.at(i).refresh(refresh)).status).toBe(400);
    expect(await client.at(30 * MINUTE).refresh(refresh)).toMatchObject({ status: 429, text: '' });
    expect((await client.at(62 * MINUTE).refresh(refresh)).status).toBe(200);
  });

  test('beyond the minute limit of the API only the headers of the minute come, and no body', async () => {
    const client = new TestClient();
    const { access } = await client.connect();
    for (let i = 0; i < 60; i++) expect((await client.me(access)).status).toBe(200);
    const said = await client.me(access);
    expect(said).toMatchObject({ status: 429, text: '' });
    expect(said.headers['x-ratelimit-minutely-remaining']).toBe('0');
    expect(said.headers['x-ratelimit-minutely-reset']).toBe(String(START + 60_000));
    expect(said.headers['x-ratelimit-limit']).toBeUndefined();
    expect((await client.at(MINUTE).me(access)).status).toBe(200);
  });
});

describe('the API', () => {
  test('[S7] a call needs an access token', async () => {
    const client = new TestClient();
    expect((await client.send('GET', '/api/v1/current/Me')).status).toBe(401);
    expect((await client.me('stampNL001.gAAAAmade-up')).status).toBe(401);
    expect((await client.me((await client.connect()).access)).status).toBe(200);
  });

  test('[S8] [S130] an access token is good at 599 seconds and expired at 601, used or not', async () => {
    const client = new TestClient();
    const { access } = await client.connect();
    expect((await client.at(599).me(access)).status).toBe(200);
    expect((await client.at(601).me(access)).status).toBe(401);
  });

  test('Me names the user, with the six rate headers, and $select narrows it', async () => {
    const client = new TestClient();
    const { access } = await client.connect();
    const bearer = { authorization: `Bearer ${access}` };
    const said = await client.send('GET', '/api/v1/current/Me?$select=UserID,UserName', bearer);
    const [row] = (JSON.parse(said.text) as { d: { results: Record<string, unknown>[] } }).d.results;
    expect(Object.keys(row ?? {})).toEqual(['__metadata', 'UserID', 'UserName']);
    expect(row?.UserName).toBe('emma.devries@example.com');
    expect(Object.keys(said.headers).filter((name) => name.startsWith('x-ratelimit'))).toHaveLength(6);
  });

  test('any endpoint of a division echoes what it was asked', async () => {
    const client = new TestClient();
    const bearer = { authorization: `Bearer ${(await client.connect()).access}` };
    const said = await client.send('GET', '/api/v1/123456/crm/Accounts?$top=1', bearer);
    expect(JSON.parse(said.text)).toMatchObject({ d: { results: [{ Method: 'GET', Query: '?$top=1' }] } });
    expect((await client.send('POST', '/api/v1/123456/crm/Accounts', bearer, '{}')).status).toBe(201);
    expect((await client.send('GET', '/api/v1/nowhere', bearer)).status).toBe(404);
  });
});

describe('requests that are not right', () => {
  test('a wrong secret gives invalid_client: 400 in the body, 401 in the header', async () => {
    const client = new TestClient();
    const { clientId } = client.server.defaultApp();
    const fields = { grant_type: 'refresh_token', refresh_token: 'x' };
    expect(await client.token({ ...fields, client_secret: 'wrong' })).toMatchObject({
      status: 400,
      text: '{"error":"invalid_client"}',
    });
    const basic = { ...FORM, authorization: `Basic ${btoa(`${clientId}:wrong`)}` };
    const said = await client.send('POST', '/api/oauth2/token', basic, String(new URLSearchParams(fields)));
    expect(said).toMatchObject({ status: 401, text: '{"error":"invalid_client"}' });
    expect(said.headers['www-authenticate']).toBe('Basic');
  });

  test('a right secret in the Authorization header is accepted', async () => {
    const client = new TestClient();
    const { refresh } = await client.connect();
    const { clientId, clientSecret } = client.server.defaultApp();
    const basic = { ...FORM, authorization: `Basic ${btoa(`${clientId}:${clientSecret}`)}` };
    const body = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: refresh });
    expect((await client.at(570).send('POST', '/api/oauth2/token', basic, String(body))).status).toBe(200);
  });

  test('what is no form, has a field twice, or lacks one is invalid_request', async () => {
    const client = new TestClient();
    const { clientId, clientSecret } = client.server.defaultApp();
    const login = `client_id=${clientId}&client_secret=${clientSecret}`;
    const send = async (body: string, headers = FORM) =>
      (await client.send('POST', '/api/oauth2/token', headers, body)).text;
    expect(await send(`${login}&grant_type=refresh_token&refresh_token=a&refresh_token=b`)).toBe(
      '{"error":"invalid_request"}',
    );
    expect(await send('{}', { 'content-type': 'application/json' })).toBe('{"error":"invalid_request"}');
    expect(await send(`${login}&grant_type=refresh_token`)).toBe('{"error":"invalid_request"}');
    expect(await send(`${login}&grant_type=password`)).toBe('{"error":"unsupported_grant_type"}');
    expect((await client.send('GET', '/api/oauth2/token')).status).toBe(405);
  });

  test('a made-up refresh token is of no chain', async () => {
    const client = new TestClient();
    expect((await client.refresh('stampNL001.abcd!IAAAAmade-up')).text).toBe(CHAIN);
    expect((await client.refresh('not a token')).text).toBe('{"error":"invalid_request"}');
  });
});

describe('fast time', () => {
  test('at speed 60 every duration is divided by 60 and rounded down to whole seconds', async () => {
    const client = new TestClient({ speed: 60 });
    const said = await client.redeem(await client.code());
    expect(JSON.parse(said.text)).toMatchObject({ expires_in: '10' });
    const { refresh, access } = tokensOf(said);
    expect((await client.at(8).refresh(refresh)).text).toBe(EARLY);
    expect((await client.at(10).me(access)).status).toBe(200);
    expect((await client.at(11).me(access)).status).toBe(401);
    expect((await client.at(9).refresh(refresh)).status).toBe(200);
    expect((await client.at(19).refresh(refresh)).status).toBe(200);
    expect((await client.at(20).refresh(refresh)).text).not.toBe(EARLY);
  });

  test('the provider file states the figures as they are played', () => {
    const file = new TestClient({ speed: 60 }).server.providerFile('http://127.0.0.1:1');
    expect(file).toMatchObject({
      id: 'exact-online-emulated',
      token_endpoint: 'http://127.0.0.1:1/api/oauth2/token',
      policy: {
        overlap: { window: 10, answer: 'replace' },
        life: { idle: 43_200, access_token: 10, code: 3 },
        pacing: { min_spacing: 9, per_day: 12_000 },
      },
    });
  });
});

test('dates have the US form of twelve hours without leading zeros', () => {
  const said = [Date.UTC(2022, 9, 11, 21, 18, 20), Date.UTC(2022, 0, 2, 0, 5, 9), Date.UTC(2022, 0, 2, 12)];
  expect(said.map((at) => usDate(at as never))).toEqual([
    '10/11/2022 9:18:20 PM',
    '1/2/2022 12:05:09 AM',
    '1/2/2022 12:00:00 PM',
  ]);
});
