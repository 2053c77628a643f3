/**
 * The samples of `examples/` and of the README, run as they are against a real server in front of an emulated Exact
 * Online; and what the recipes of docs/recipes.md do, with a stand-in where the tool itself is not here.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { World } from '../support/servers.ts';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '../..');
const BIN = join(ROOT, 'bin/evergrant.js');

let world: World;
let env: Record<string, string>;

beforeAll(async () => {
  world = await World.create();
  await world.start();
  await world.connect('eol');
  const api = `${world.provider.baseUrl}/api`;
  // Samples call `evergrant` by its name.
  const bin = join(world.folder, 'bin');
  mkdirSync(bin);
  symlinkSync(BIN, join(bin, 'evergrant'));
  const PATH = [bin, join(process.execPath, '..'), process.env.PATH].join(':');
  env = {
    PATH,
    HOME: world.folder,
    EVERGRANT_SERVER: world.origin,
    EVERGRANT_API_KEY: world.adminKey,
    API_URL: api,
  };
});
afterAll(() => world.close());

/** In the environment that every sample names; commands of ours know no EVERGRANT_GRANT. */
async function ran(file: string, words: readonly string[], more: Record<string, string> = { EVERGRANT_GRANT: 'eol' }) {
  const { stdout } = await run(file, [...words], { cwd: ROOT, env: { ...env, ...more }, timeout: 60_000 });
  return stdout;
}

const me = expect.objectContaining({ d: { results: [expect.objectContaining({ UserID: expect.any(String) })] } });

describe('[S44] a sample that runs as it is', () => {
  test.each([
    ['Python', '/usr/bin/python3', ['examples/python/client.py']],
    ['Ruby', 'ruby', ['examples/ruby/client.rb']],
    ['Node', process.execPath, ['examples/node/client.mjs']],
  ])('in %s', async (_name, program, words) => {
    expect(JSON.parse(await ran(program, words))).toEqual(me);
  });

  test('with curl, by token and through the proxy', async () => {
    const lines = (await ran('sh', ['examples/curl.sh'])).trim().split('\n');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([me, me]);
  });

  test('as a job of cron', async () => {
    const file = join(world.folder, 'me.json');
    await ran('sh', ['examples/cron/fetch.sh', file], { GRANT: 'eol' });
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(me);
  });

  test('in Power Query asks the proxy for what its text says', async () => {
    const text = readFileSync(join(ROOT, 'examples/power-query/exact-online.pq'), 'utf8');
    const path = /RelativePath = "v1\/" & Division & "([^"]+)"/.exec(text)?.[1] ?? '';
    const division = /Division = "(\d+)"/.exec(text)?.[1] ?? '';
    const answer = await world.api('GET', `/proxy/eol/v1/${division}${path}?$select=ID,Code,Name`);
    expect([answer.status, answer.body]).toEqual([200, expect.objectContaining({ d: expect.anything() })]);
  });
});

test('[S122] the sample of the README has ten lines or fewer, and runs as it is', async () => {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
  const sample = /```js\n([^`]*evergrant\/client[^`]*)```/.exec(readme)?.[1] ?? '';
  expect(sample.trim().split('\n').length).toBeLessThanOrEqual(10);
  // Only the two addresses are those of this test.
  const here = sample
    .replaceAll('http://127.0.0.1:8787', world.origin)
    .replaceAll('https://start.exactonline.nl', world.provider.baseUrl);
  expect(await ran(process.execPath, ['--input-type=module', '-e', here])).toContain('UserID');
});

describe('a recipe', () => {
  const bearer = () => ({ authorization: `Bearer ${world.adminKey}` });

  test('for External Secrets: the webhook answers JSON whose $.access_token is the secret', async () => {
    const answer = await fetch(`${world.origin}/v1/grants/eol/token`, { headers: bearer() });
    expect(await answer.json()).toMatchObject({ access_token: expect.any(String) });
  });

  test('for tools that read Vault: the path, header and shape of its oauthapp plugin', async () => {
    const answer = await fetch(`${world.origin}/v1/vault/creds/eol`, { headers: { 'x-vault-token': world.adminKey } });
    expect(await answer.json()).toMatchObject({ data: { access_token: expect.any(String) } });
  });

  test('for rclone: WebDAV asks a command for its bearer token, which prints nothing else', async () => {
    expect(await ran('sh', ['-c', 'evergrant token eol'], {})).toMatch(/^\S+\n$/);
  });

  test('for Singer taps: the configuration holds the token, and no refresh token', async () => {
    const config = `printf '{"access_token":"%s"}' "$TAP_TOKEN"`;
    const made = await ran(
      'sh',
      ['-c', `evergrant exec eol --as TAP_TOKEN -- sh -c '${config.replaceAll("'", `'"'"'`)}'`],
      {},
    );
    expect(JSON.parse(made)).toEqual({ access_token: expect.stringMatching(/^\S+$/) });
  });

  test('for n8n: header authorization at the proxy, with a key that sees no token', async () => {
    const made = await world.api('POST', '/v1/api-keys', { name: 'n8n', scopes: ['proxy'] });
    const answer = await fetch(`${world.origin}/proxy/eol/v1/current/Me`, {
      headers: { authorization: `Bearer ${made.body.key}` },
    });
    expect(await answer.json()).toEqual(me);
  });

  test('for Envoy: a client gets a token by client credentials, as its credential injector asks', async () => {
    const made = await world.api('POST', '/v1/clients', { name: 'envoy', grants: ['eol'] });
    const { client_id: id, client_secret: secret } = made.body as unknown as Record<string, string>;
    const authorization = `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;
    const body = new URLSearchParams({ grant_type: 'client_credentials' });
    const answer = await fetch(`${world.origin}/oauth/token`, { method: 'POST', headers: { authorization }, body });
    expect(await answer.json()).toMatchObject({ token_type: 'Bearer', expires_in: expect.any(Number) });
  });

  test('for git: it asks the helper, and gives the token to that host alone', async () => {
    const config = join(world.folder, 'gitconfig');
    const helper = '!evergrant git-credential eol --host bitbucket.org';
    writeFileSync(config, `[credential]\n\thelper = "${helper}"\n`);
    const fill = (host: string) =>
      ran('sh', ['-c', `printf 'protocol=https\\nhost=${host}\\n\\n' | git credential fill`], {
        GIT_CONFIG_GLOBAL: config,
        GIT_TERMINAL_PROMPT: '0',
      });
    expect(await fill('bitbucket.org')).toMatch(/username=x-token-auth\npassword=\S+\n/);
    await expect(fill('evil.example')).rejects.toThrow();
  });
});
