/** An app made from the address of a resource alone, as MCP servers need it: against a small server on loopback. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { scratch, serving } from './support/fake-api.ts';

// A test starts a server, and a busy machine takes its time.
vi.setConfig({ testTimeout: 60_000 });

const FILE = new URL('../providers/resource.json', import.meta.url);

type Answers = Readonly<Record<string, (body: string) => readonly [status: number, json: object]>>;

/** A resource, its authorization server and its registration in one; `answers` by path. */
async function world(answersAt: (origin: string) => Answers) {
  const asked: string[] = [];
  const server: Server = createServer((request, response) => {
    let body = '';
    request.on('data', (part: Buffer) => (body += part.toString()));
    request.on('end', () => {
      asked.push(`${request.method} ${request.url} ${body}`);
      const [status, json] = answers[request.url ?? '']?.(body) ?? [404, {}];
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(json));
    });
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const answers = answersAt(origin);
  const folder = scratch();
  mkdirSync(join(folder.path, 'more'));
  const file = readFileSync(FILE, 'utf8').replace('"id": "resource"', '"id": "resource-here"');
  writeFileSync(join(folder.path, 'more/resource-here.json'), file);
  writeFileSync(join(folder.path, 'evergrant.yaml'), 'providers: ./more\n');
  const served = await serving(folder.path);
  const key = readFileSync(join(folder.path, 'data/admin.key'), 'utf8').trim();
  const post = async (body: object) => {
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
    const answer = await fetch(`${served.url}/v1/apps`, { method: 'POST', headers, body: JSON.stringify(body) });
    return { status: answer.status, json: (await answer.json()) as Record<string, unknown> };
  };
  const end = async () => {
    await served.stop('SIGTERM');
    server.close();
    folder[Symbol.dispose]();
  };
  return { origin, asked, post, [Symbol.asyncDispose]: end };
}

const metadata = (origin: string) => ({
  issuer: `${origin}/as`,
  authorization_endpoint: `${origin}/as/auth`,
  token_endpoint: `${origin}/as/token`,
  registration_endpoint: `${origin}/as/register`,
  code_challenge_methods_supported: ['S256'],
  token_endpoint_auth_methods_supported: ['client_secret_post', 'none'],
});

const honest = (origin: string): Answers => ({
  '/.well-known/oauth-protected-resource/mcp': () => [
    200,
    { resource: `${origin}/mcp`, authorization_servers: [`${origin}/as`] },
  ],
  '/.well-known/oauth-authorization-server/as': () => [200, metadata(origin)],
  '/as/register': () => [201, { client_id: 'registered-1', client_secret: 'S3CRET-of-the-registration' }],
});

const wish = (origin: string) => ({ provider: 'resource-here', variables: { resource: `${origin}/mcp` } });

test('an app of a resource finds its authorization server and registers itself there', async () => {
  await using there = await world(honest);
  const { status, json } = await there.post(wish(there.origin));
  expect(status).toBe(201);
  expect(json).toMatchObject({ client_id: 'registered-1', has_secret: true });
  expect(json.variables).toEqual({ resource: `${there.origin}/mcp`, issuer: `${there.origin}/as` });
  expect(JSON.stringify(json)).not.toContain('S3CRET');
  const registration = there.asked.find((one) => one.startsWith('POST /as/register'));
  expect(JSON.parse(registration?.slice('POST /as/register '.length) ?? '')).toEqual({
    client_name: 'Evergrant',
    redirect_uris: [expect.stringMatching(/\/callback$/)],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'client_secret_post',
  });
});

test('with a client id nothing is registered', async () => {
  await using there = await world(honest);
  expect((await there.post({ ...wish(there.origin), client_id: 'mine' })).json).toMatchObject({ client_id: 'mine' });
  expect(there.asked.filter((one) => one.startsWith('POST'))).toEqual([]);
});

test.each<[what: string, (origin: string) => Answers, code: string]>([
  [
    'speaks of another resource',
    (origin) => ({
      ...honest(origin),
      '/.well-known/oauth-protected-resource/mcp': () => [
        200,
        { resource: `${origin}/other`, authorization_servers: [`${origin}/as`] },
      ],
    }),
    'upstream_refused',
  ],
  ['says nothing of itself', () => ({}), 'invalid_request'],
  [
    'has a server that names another issuer',
    (origin) => ({
      ...honest(origin),
      '/.well-known/oauth-authorization-server/as': () => [200, { ...metadata(origin), issuer: origin }],
    }),
    'upstream_refused',
  ],
  [
    'has a server without registration',
    (origin) => ({
      ...honest(origin),
      '/.well-known/oauth-authorization-server/as': () => [200, { ...metadata(origin), registration_endpoint: null }],
    }),
    'invalid_request',
  ],
  [
    'has a server that refuses to register',
    (origin) => ({ ...honest(origin), '/as/register': () => [400, { error: 'invalid_redirect_uri' }] }),
    'upstream_refused',
  ],
])('no app is made of a resource that %s', async (_, answers, code) => {
  await using there = await world(answers);
  expect((await there.post(wish(there.origin))).json).toMatchObject({ code, remedy: expect.any(String) });
});

test('the shipped provider reaches no resource on this machine', async () => {
  await using there = await world(honest);
  const { json } = await there.post({ ...wish(there.origin), provider: 'resource' });
  expect(json).toMatchObject({ code: 'invalid_request', detail: expect.stringContaining('https') });
  expect(there.asked).toEqual([]);
});
