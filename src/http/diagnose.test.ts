import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseProvider } from '../catalogue/parse.ts';
import { DIAGNOSES } from '../core/diagnosis.ts';
import { FOREIGN_CODES, foreignCodeIn } from '../core/foreign-codes.ts';
import { fakeParts } from './fake-keeper.ts';
import { serve } from './fake-server.ts';

const fileOf = (id: string): unknown =>
  JSON.parse(readFileSync(join(import.meta.dirname, `../../providers/${id}.json`), 'utf8'));
const providers = ['exact-online', 'auth0'].map((id) => parseProvider(`${id}.json`, fileOf(id), 'public'));
const catalogue = {
  get: (id: string) => providers.find((one) => one.id === id) ?? null,
  list: () => providers,
  ids: () => providers.map((one) => one.id),
};

async function diagnose(wanted: object): Promise<{ status: number; body: Record<string, unknown>; text: string }> {
  const { send } = await serve({ ...fakeParts(), catalogue });
  const answer = await send('POST', '/v1/diagnose', wanted);
  return { status: answer.statusCode, body: answer.json(), text: answer.body };
}

const oauth = (error: string, description?: string) => JSON.stringify({ error, error_description: description });

test.each([
  ['old', 401, oauth('unauthorized_client', 'Old refresh token used.'), 'superseded'],
  [
    'foreign',
    400,
    oauth('invalid_grant', 'Token is not allowed, because of invalid or empty chainId'),
    'invalid_chain',
  ],
  ['early', 400, oauth('access_denied', 'Rate limit exceeded: access_token not expired'), 'too_early'],
  ['replayed', 400, oauth('invalid_request', 'This message has already been processed.  This could'), 'code_replayed'],
  ['idle', 400, oauth('invalid_request', 'The refresh token expired at 10/11/2022 9:18:20 PM and'), 'expired_idle'],
])(
  'what Exact Online says of a token that is %s is read by its table, with its source [S16] [S17]',
  async (_, status, body, code) => {
    const found = await diagnose({ provider: 'exact-online', status, body });
    expect(found.body).toMatchObject({ code, ...DIAGNOSES[code as keyof typeof DIAGNOSES] });
    expect(found.body.sources).toMatchObject([{ source: expect.stringContaining('https://'), grade: 'observed' }]);
  },
);

test('a Reason header stands in for an empty body', async () => {
  const headers = { Reason: 'TooEarlyToRefreshTokens: Rate limit exceeded: access_token not expired' };
  const found = await diagnose({ provider: 'exact-online', status: 400, headers, body: '' });
  expect(found.body).toMatchObject({ code: 'too_early', retry: true });
});

test.each([
  ['itgeneor361: Exact Online requires at least 9,5 minutes between each request for a new acces token.', 'superseded'],
  ['itgeneor362: Only one refresh token can be active on Exact Online', 'superseded'],
  ['itgeneor364', 'too_early'],
  ['Exact Online requires at least 9,5 minutes between each request for a new access token.', 'too_early'],
  ['An obsoleted refresh token can not be used on Exact Online.', 'superseded'],
  ['itgenscr590', 'account_taken'],
  ['{"type":"ferrt","details":{"familyId":"f","tokenCounter":3,"latestCounter":5}}', 'used_elsewhere'],
  ['{"type":"resource_cleanup"}', 'evicted_by_cap'],
  [oauth('invalid_grant', 'AADSTS700082: The refresh token has expired due to inactivity.'), 'expired_idle'],
  [oauth('interaction_required', 'AADSTS50076: Due to a configuration change'), 'consent_ended'],
])(
  'a text of another system is recognised without naming a provider: %s [S50] [S52] [S53] [S54] [S98]',
  async (body, code) => {
    const found = await diagnose({ status: 400, body });
    expect(found.body.code).toBe(code);
    expect(found.body.sources).not.toEqual([]);
  },
);

test('Auth0 says one thing for every dead token: it is called unknown, with the logs to look into [S94] [S98]', async () => {
  const body = oauth('invalid_grant', 'Unknown or invalid refresh token.');
  const found = await diagnose({ provider: 'auth0', status: 403, body });
  expect(found.body).toMatchObject({ code: 'unknown', retry: false, remedy: expect.stringContaining('ferrt') });
});

test.each([
  [400, oauth('invalid_grant'), 'unknown', false],
  [401, oauth('invalid_client'), 'client_rejected', true],
  [429, '', 'upstream_fault', true],
  [502, '<html><title>Bad Gateway</title></html>', 'upstream_fault', true],
  [400, oauth('something_new', 'nobody knows'), 'unknown', false],
  [404, 'Not here', 'unknown', false],
])(
  '%i %s without a table is read by RFC 6749 and HTTP, and unknown is called unknown',
  async (status, body, code, retry) => {
    expect((await diagnose({ status, body })).body).toMatchObject({ code, retry });
  },
);

test('an answer with tokens is no error, and no token or text of it comes back', async () => {
  const tokens = JSON.stringify({ access_token: 'at-very-secret', refresh_token: 'rt-very-secret', expires_in: 600 });
  const found = await diagnose({
    provider: 'exact-online',
    status: 200,
    headers: { 'x-token': 'hd-very-secret' },
    body: tokens,
  });
  expect(found.body).toMatchObject({ code: 'unknown', cause: expect.stringContaining('no error') });
  expect(found.text).not.toContain('very-secret');
  const refused = await diagnose({ status: 400, body: oauth('invalid_grant', 'rt-very-secret is dead') });
  expect(refused.text).not.toContain('very-secret');
});

test('a provider that is not in the catalogue, and more than 64 KiB, are refused', async () => {
  expect(await diagnose({ provider: 'nobody', status: 400, body: '' })).toMatchObject({
    status: 400,
    body: { code: 'unknown_provider' },
  });
  expect((await diagnose({ status: 400, body: 'x'.repeat(65_536) })).status).toBe(200);
  expect(await diagnose({ status: 400, body: 'x'.repeat(65_537) })).toMatchObject({
    status: 400,
    body: { code: 'invalid_request' },
  });
});

test('each foreign code is found by itself, and a longer number is another code', () => {
  for (const one of FOREIGN_CODES) expect(foreignCodeIn(`error: ${one.code}`)?.code).toBe(one.code);
  expect(foreignCodeIn('AADSTS500761')).toBeNull();
  expect(foreignCodeIn('nothing of the kind')).toBeNull();
});
