/** One server of several processes, and somebody who sends the same thing to all of them at once. */
import { createHash } from 'node:crypto';
import { afterEach, expect, test } from 'vitest';
import { dpopKey } from '../support/dpop.ts';
import { type Answer, type Line, WorkersServer } from './support/workers-server.ts';

const CALLBACK = 'https://spa.example/callback';
const VERIFIER = 'v'.repeat(43);

let server: WorkersServer;
afterEach(() => server?.close());

interface Made {
  readonly client_id: string;
  readonly refresh_tokens: Readonly<Record<string, string>>;
}

/** A server with a grant, lines to all its workers, and a client whose refresh tokens are bound. */
async function world() {
  server = await WorkersServer.create();
  await server.start(3);
  const app = await server.addApp();
  await server.importGrant('eol', app);
  const usual = {
    name: 'Page',
    type: 'public',
    apps: [app],
    redirect_uris: [CALLBACK],
    dpop_bound_refresh_tokens: true,
  };
  const made = (await server.api('POST', '/v1/clients', { ...usual, grants: ['eol'] })).json as unknown as Made;
  const lines = await server.lines();
  const refresh = (line: Line, dpop: string) => {
    const form = {
      grant_type: 'refresh_token',
      refresh_token: made.refresh_tokens.eol ?? '',
      client_id: made.client_id,
    };
    return line.ask('POST', '/oauth/token', { headers: { dpop }, form });
  };
  return { made, lines, refresh, address: `${server.origin}/oauth/token` };
}

const wins = (answers: readonly Answer[]) => answers.filter(({ status }) => status === 200).length;

test('a proof works on one worker, once; the refresh token has one key, whichever worker saw which first', async () => {
  const { lines, refresh, address } = await world();
  const keys = lines.map(() => dpopKey());
  const first = await Promise.all(lines.map((line, i) => refresh(line, keys[i]?.proof(address, Date.now()) ?? '')));
  expect(wins(first)).toBe(1);
  const key = keys[first.findIndex(({ status }) => status === 200)] ?? dpopKey();
  for (let round = 0; round < 5; round++) {
    const proof = key.proof(address, Date.now());
    const answers = await Promise.all(lines.map((line) => refresh(line, proof)));
    expect(wins(answers)).toBe(1);
    const refusals = answers.filter(({ status }) => status !== 200).map(({ json }) => json.error);
    expect(new Set(refusals)).toEqual(new Set(['invalid_dpop_proof']));
  }
  // Nonces of one worker are good on all.
  const late = await refresh(lines[0] as Line, key.proof(address, 0));
  expect(late.json).toMatchObject({ error: 'use_dpop_nonce' });
  const claims = { nonce: late.headers['dpop-nonce'] };
  for (const line of lines) expect((await refresh(line, key.proof(address, 0, { claims }))).status).toBe(200);
});

test('a code that comes to all workers at once gives at most one set of tokens, and a copy of it ends that', async () => {
  const { made, lines, address } = await world();
  const key = dpopKey();
  const query = new URLSearchParams({
    client_id: made.client_id,
    response_type: 'code',
    redirect_uri: CALLBACK,
    code_challenge: createHash('sha256').update(VERIFIER).digest('base64url'),
    code_challenge_method: 'S256',
    dpop_jkt: key.jkt,
  });
  const back = await server.throughProvider(`/oauth/authorize?${String(query)}`, {});
  const code = new URL(String(back.headers.location)).searchParams.get('code') ?? '';
  const redeem = (line: Line, by = key) =>
    line.ask('POST', '/oauth/token', {
      headers: { dpop: by.proof(address, Date.now()) },
      form: {
        grant_type: 'authorization_code',
        code,
        redirect_uri: CALLBACK,
        code_verifier: VERIFIER,
        client_id: made.client_id,
      },
    });
  const thieves = await Promise.all(lines.map((line) => redeem(line, dpopKey())));
  expect(thieves.map(({ json }) => json)).toEqual(lines.map(() => ({ error: 'invalid_grant' })));
  const answers = await Promise.all(lines.map((line) => redeem(line)));
  expect(wins(answers)).toBeLessThanOrEqual(1);
  for (const { json } of answers.filter(({ status }) => status === 200)) {
    const form = { grant_type: 'refresh_token', refresh_token: String(json.refresh_token), client_id: made.client_id };
    const headers = { dpop: key.proof(address, Date.now()) };
    const late = await lines[0]?.ask('POST', '/oauth/token', { headers, form });
    expect(late?.json).toEqual({ error: 'invalid_grant' });
  }
});
