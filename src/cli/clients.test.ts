/** `evergrant clients` as a script sees it: the real binary against an API on loopback. */
import { describe, expect, test, vi } from 'vitest';
import { evergrant, fakeApi } from '../../test/support/fake-api.ts';

// Every test starts processes, and a busy machine takes its time.
vi.setConfig({ testTimeout: 60_000 });

const CLIENT = { client_id: 'cli_1', name: 'Reports', type: 'confidential', grants: ['eol'], apps: [] };
const MADE = { ...CLIENT, client_secret: 'evs_x', refresh_tokens: { eol: 'evr_x' } };
const JKT = 'j'.repeat(43);
const env = (origin: string): Record<string, string> => ({
  EVERGRANT_SERVER: origin,
  EVERGRANT_API_KEY: 'k'.repeat(32),
});

describe.concurrent('evergrant clients', () => {
  test('add makes a client for a grant and prints what it needs, this once', async () => {
    await using api = await fakeApi({ 'POST /v1/clients': { status: 201, json: MADE } });
    const ran = await evergrant(['clients', 'add', 'Reports', '--grant', 'eol'], { env: env(api.origin) });
    expect(ran.exit).toBe(0);
    expect(ran.out).toBe('client_id            cli_1\nclient_secret        evs_x\nrefresh_token (eol)  evr_x\n');
    expect(api.asked[0]?.body).toEqual({ name: 'Reports', grants: ['eol'] });
    const asJson = await evergrant(['clients', 'add', 'Reports', '--rotating', '--json'], { env: env(api.origin) });
    expect(JSON.parse(asJson.out)).toEqual(MADE);
    expect(api.asked[1]?.body).toEqual({ name: 'Reports', rotation: 'rotating' });
    const page = ['Spa', '--auth-method', 'none', '--redirect-uri', 'https://spa.example/cb', '--dpop'];
    await evergrant(['clients', 'add', ...page], { env: env(api.origin) });
    expect(api.asked[2]?.body).toEqual({
      name: 'Spa',
      token_endpoint_auth_method: 'none',
      redirect_uris: ['https://spa.example/cb'],
      dpop_bound_refresh_tokens: true,
    });
    await evergrant(['clients', 'add', 'Keyed', '--dpop-jkt', JKT], { env: env(api.origin) });
    expect(api.asked[3]?.body).toEqual({ name: 'Keyed', dpop_bound_refresh_tokens: true, dpop_jkt: JKT });
  });

  test('events tells the true reason of each refusal, and which token of how many was presented', async () => {
    const refused = { type: 'refresh_token_refused', at: '2026-11-22T10:00:00Z', reason: 'another DPoP key', times: 7 };
    const reused = { type: 'refresh_token_reused', at: '2026-11-21T10:00:00Z', token_counter: 2, latest_counter: 5 };
    await using api = await fakeApi({
      'GET /v1/clients/cli_1/events': { json: { items: [refused, reused], next: null } },
    });
    const ask = (...words: string[]) => evergrant(['clients', 'events', 'cli_1', ...words], { env: env(api.origin) });
    const [head, one, other] = (await ask()).out.trimEnd().split('\n');
    expect(head).toMatch(/^AT +WHAT +TIMES +REASON +GRANT +TOKEN$/);
    expect(one).toMatch(/refresh_token_refused +7 +another DPoP key/);
    expect(other).toMatch(/refresh_token_reused.* 2 of 5$/);
    expect((await ask('--json')).out).toBe(`${JSON.stringify(refused)}\n${JSON.stringify(reused)}\n`);
  });

  test('list, show and remove name clients by their ids', async () => {
    await using api = await fakeApi({
      'GET /v1/clients': { json: { items: [CLIENT], next: null } },
      'GET /v1/clients/cli_1': { json: CLIENT },
      'DELETE /v1/clients/cli_1': { json: { client_id: 'cli_1', residual_seconds: 420 } },
    });
    const ask = (...words: string[]) => evergrant(['clients', ...words], { env: env(api.origin) });
    expect((await ask('list')).out).toContain('cli_1');
    expect((await ask('show', 'cli_1')).out).toContain('Reports');
    expect((await ask('remove', 'cli_1')).out).toBe(
      'cli_1: removed; an access token that it has already may live 420 s longer.\n',
    );
  });

  test('token and secret print the new one and nothing else', async () => {
    await using api = await fakeApi({
      'POST /v1/clients/cli_1/refresh-tokens': {
        status: 201,
        json: { id: 'fam_1', grant: 'eol', refresh_token: 'evr_y' },
      },
      'POST /v1/clients/cli_1/secret': { status: 201, json: { client_id: 'cli_1', client_secret: 'evs_y' } },
    });
    const ask = (...words: string[]) => evergrant(['clients', ...words], { env: env(api.origin) });
    expect((await ask('token', 'cli_1', 'eol')).out).toBe('evr_y\n');
    expect((await ask('token', 'cli_1', 'eol', '--dpop-jkt', JKT)).out).toBe('evr_y\n');
    expect(api.asked.map(({ body }) => body)).toEqual([{ grant: 'eol' }, { grant: 'eol', dpop_jkt: JKT }]);
    expect((await ask('secret', 'cli_1', '--keep-previous', '60')).out).toBe('evs_y\n');
  });

  test.each(['list', 'show', 'events', 'add', 'token', 'secret', 'remove'])(
    '%s has --help and --json',
    async (name) => {
      const ran = await evergrant(['clients', name, '--help']);
      expect(ran).toMatchObject({ exit: 0, err: '' });
      expect(ran.out).toContain('--json');
    },
  );

  test.each([
    [['clients', 'add'], 'evergrant clients add --help'],
    [['clients', 'list', '--bogus'], 'evergrant clients list --help'],
    [['clients', 'bogus'], 'evergrant clients --help'],
    [['bogus', 'add'], 'evergrant --help'],
  ])('%j is answered with the help that says how it is done', async (words, help) => {
    const ran = await evergrant(words);
    expect([ran.exit, ran.out]).toEqual([2, '']);
    expect(ran.err.trimEnd().endsWith(`See: ${help}`)).toBe(true);
  });

  test('add takes no keys from a file that is not there', async () => {
    const words = ['clients', 'add', 'x', '--auth-method', 'private_key_jwt', '--jwks', 'none.json'];
    expect(await evergrant(words, { env: env('http://127.0.0.1:9') })).toMatchObject({ exit: 2, out: '' });
  });
});
