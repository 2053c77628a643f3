import { describe, expect, test } from 'vitest';
import { formNamed, TestClient, type Tokens, tokensOf } from './client.fixture.ts';

const DAY = 86_400;
const DEAD = { status: 400, text: '{"error":"invalid_grant"}' };

describe('TrueLayer', () => {
  const client = (name: string) => new TestClient({ form: formNamed(name) });

  test('[S125] a refresh token does not change over the life of the consent', async () => {
    const bank = client('truelayer');
    const { refresh } = await bank.connect();
    for (const day of [10, 30, 50, 70, 89]) {
      expect(tokensOf(await bank.at(day * DAY).refresh(refresh)).refresh).toBe(refresh);
    }
  });

  test('[S118] it lives 30 days from its last use, and at most until the consent ends after 90', async () => {
    const used = client('truelayer');
    const { refresh } = await used.connect();
    for (const day of [29, 58, 87]) expect((await used.at(day * DAY).refresh(refresh)).status).toBe(200);
    expect(await used.at(90 * DAY + 1).refresh(refresh)).toMatchObject(DEAD);
    const idle = client('truelayer');
    const { refresh: unused } = await idle.connect();
    expect(await idle.at(30 * DAY + 1).refresh(unused)).toMatchObject(DEAD);
  });

  test('[S119] in 2019 a refresh token could be used exactly once', async () => {
    const bank = client('truelayer-2019');
    const { refresh } = await bank.connect();
    const next = tokensOf(await bank.refresh(refresh));
    expect(next.refresh).not.toBe(refresh);
    expect(await bank.refresh(refresh)).toMatchObject(DEAD);
    expect((await bank.refresh(next.refresh)).status).toBe(200);
  });

  test('[S120] unknown, expired, revoked and foreign tokens get the same answer, and the ledger the true reason', async () => {
    const bank = client('truelayer');
    const { refresh } = await bank.connect();
    const other = bank.server.addApp('another', []);
    const foreign = await bank.token(
      { grant_type: 'refresh_token', refresh_token: refresh },
      { ...other, redirectUris: [] },
    );
    const unknown = await bank.refresh('x'.repeat(64));
    bank.server.revoke();
    const revoked = await bank.refresh(refresh);
    const late = await bank.connect();
    bank.server.expire('refresh');
    const expired = await bank.refresh(late.refresh);
    for (const said of [foreign, unknown, revoked, expired]) expect(said).toMatchObject(DEAD);
    const reasons = bank.server.ledger().flatMap((one) => one.reason ?? []);
    expect(reasons).toEqual(['token-of-another-client', 'unknown', 'revoked', 'expired-idle']);
  });

  test('only the last access token is valid', async () => {
    const bank = client('truelayer');
    const first = await bank.connect();
    const second = tokensOf(await bank.refresh(first.refresh));
    expect(await bank.get('/data/v1/me', first.access)).toMatchObject({
      status: 401,
      text: '{"error":"unauthorized"}',
    });
    expect((await bank.get('/data/v1/me', second.access)).status).toBe(200);
  });

  test('data is denied once the consent is over', async () => {
    const bank = client('truelayer');
    const { access } = await bank.connect();
    bank.server.revoke();
    expect(await bank.get('/data/v1/accounts', access)).toMatchObject({
      status: 403,
      text: '{"error":"access_denied"}',
    });
  });

  test('[S117] a wrong client secret is told apart from a wrong token', async () => {
    const bank = client('truelayer');
    const { refresh } = await bank.connect();
    const said = await bank.token({ grant_type: 'refresh_token', refresh_token: refresh, client_secret: 'wrong' });
    expect(said).toMatchObject({ status: 401, text: '{"error":"invalid_client"}' });
  });
});

describe('Google', () => {
  const OFFLINE = { access_type: 'offline', prompt: 'consent' };
  const GONE = '{"error":"invalid_grant","error_description":"Token has been expired or revoked."}';

  async function window(name: string, size: number): Promise<{ google: TestClient; tokens: Tokens[] }> {
    const google = new TestClient({ form: formNamed(name) });
    const tokens: Tokens[] = [];
    for (let i = 0; i < size + 1; i++) tokens.push(await google.connect(OFFLINE));
    return { google, tokens };
  }

  test.each([
    ['google-50', 50],
    ['google', 100],
  ])(
    '[S129] [S22] %s: of one user and app the newest %i refresh tokens live, and the oldest goes without a word',
    async (name, size) => {
      const { google, tokens } = await window(name, size);
      expect(await google.refresh(tokens[0]?.refresh ?? '')).toMatchObject({ status: 400, text: GONE });
      for (const one of [tokens[1], tokens.at(-1)]) expect((await google.refresh(one?.refresh ?? '')).status).toBe(200);
    },
  );

  test('[S129] a refresh token is not rotated, and not named again', async () => {
    const google = new TestClient({ form: formNamed('google') });
    const { refresh } = await google.connect(OFFLINE);
    const said = JSON.parse((await google.at(60).refresh(refresh)).text);
    expect(said).toMatchObject({ expires_in: 3599, token_type: 'Bearer', scope: 'openid email' });
    expect(said).not.toHaveProperty('refresh_token');
    expect((await google.at(120).refresh(refresh)).status).toBe(200);
  });

  test('no refresh token comes unless the request says offline and consent', async () => {
    const google = new TestClient({ form: formNamed('google') });
    for (const query of [{}, { access_type: 'offline' }, { prompt: 'consent' }]) {
      const said = await google.redeem(await google.code(query));
      expect(JSON.parse(said.text)).not.toHaveProperty('refresh_token');
    }
  });

  test('six months unused end it, or seven days in all while the consent screen is in testing', async () => {
    const google = new TestClient({ form: formNamed('google') });
    const { refresh } = await google.connect(OFFLINE);
    expect((await google.at(180 * DAY).refresh(refresh)).status).toBe(200);
    expect((await google.at(363 * DAY).refresh(refresh)).text).toBe(GONE);
    const testing = new TestClient({ form: formNamed('google'), switches: { testing: true } });
    const short = await testing.connect(OFFLINE);
    expect((await testing.at(6 * DAY).refresh(short.refresh)).status).toBe(200);
    expect((await testing.at(7 * DAY + 1).refresh(short.refresh)).text).toBe(GONE);
  });
});
