/** Evergrant in this process, in front of a provider that does with each request what the test says. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request as rawRequest, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { type Overrides, type RunningApp, type Settings, startApp } from '../../src/app.ts';
import { settingsFor } from './settings.ts';

export interface Seen {
  readonly method: string;
  /** As it came over the wire. */
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export type Answering = (seen: Seen, answer: ServerResponse, raw: IncomingMessage) => unknown;

export interface ProxyWorld extends AsyncDisposable {
  readonly origin: string;
  readonly proxyOrigin: string | null;
  readonly key: string;
  readonly app: RunningApp;
  readonly upstream: string;
  /** What came to the API, without what came to the token endpoint. */
  readonly seen: Seen[];
  /** Requests to the token endpoint. */
  readonly exchanges: string[];
  /** What the API does next; by default it answers 200 with what it was asked. */
  answering: Answering;
  /** The access token that the next exchange gives. */
  nextToken: string;
  /** A key with these scopes. */
  keyWith(...scopes: string[]): Promise<string>;
  api(method: string, path: string, body?: unknown): Promise<{ status: number; body: Record<string, unknown> }>;
  /** A grant with the access token `token-of-{alias}`. */
  addGrant(alias: string): Promise<void>;
  /** Through the proxy, as the admin. */
  get(path: string, init?: RequestInit): Promise<Response>;
  /** With a path that no URL parser has touched. */
  raw(path: string, headers?: Record<string, string>, method?: string): Promise<{ status: number; body: string }>;
}

export async function proxyWorld(
  change: Partial<Settings> = {},
  providerChange: Record<string, unknown> = {},
  overrides: Overrides = {},
): Promise<ProxyWorld> {
  const folder = mkdtempSync(join(tmpdir(), 'evergrant-test-'));
  const seen: Seen[] = [];
  const exchanges: string[] = [];
  const upstream = createServer((incoming, answer) => {
    void serve(incoming, answer);
  });
  await new Promise<void>((done) => {
    upstream.listen(0, '127.0.0.1', done);
  });
  const base = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;

  async function serve(incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
    const isStreamed = incoming.headers['x-streamed'] !== undefined;
    const body = isStreamed ? '' : (await buffer(incoming)).toString();
    if (incoming.url === '/token') {
      exchanges.push(body);
      const token = { access_token: world.nextToken, token_type: 'bearer', expires_in: 3600, refresh_token: 'next' };
      answer.setHeader('content-type', 'application/json').end(JSON.stringify(token));
      return;
    }
    const one = { method: incoming.method ?? '', url: incoming.url ?? '', headers: incoming.headers, body };
    seen.push(one);
    await world.answering(one, answer, incoming);
  }

  mkdirSync(join(folder, 'providers'));
  const provider = {
    id: 'up',
    name: 'Up',
    authorization_endpoint: `${base}/authorize`,
    token_endpoint: `${base}/token`,
    api_base_urls: [`${base}/api`, `${base}/other`],
    token_endpoint_auth_methods: ['client_secret_post'],
    policy: { rotate: { mode: 'always' }, life: { access_token: 3600 } },
    ...providerChange,
  };
  writeFileSync(join(folder, 'providers', 'up.json'), JSON.stringify(provider));
  const app = await startApp(
    settingsFor(join(folder, 'data'), { providersFolder: join(folder, 'providers'), ...change }),
    'all',
    overrides,
  );
  const origin = app.origin ?? '';
  const key = app.adminKey.text;

  const world: ProxyWorld = {
    origin,
    proxyOrigin: app.proxyOrigin,
    key,
    app,
    upstream: base,
    seen,
    exchanges,
    answering: (one, answer) => {
      answer.setHeader('content-type', 'application/json').end(JSON.stringify({ asked: one.url }));
    },
    nextToken: 'token-after-exchange',
    async keyWith(...scopes) {
      const made = await world.api('POST', '/v1/api-keys', { name: 'test', scopes });
      return String(made.body.key);
    },
    async api(method, path, body) {
      const answer = await fetch(origin + path, {
        method,
        headers: {
          authorization: `Bearer ${key}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await answer.text();
      return { status: answer.status, body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>) };
    },
    async addGrant(alias) {
      const apps = await world.api('GET', '/v1/apps');
      const [known] = apps.body.items as { id: string }[];
      const made =
        known ?? (await world.api('POST', '/v1/apps', { provider: 'up', client_id: 'c', client_secret: 's' })).body;
      const grant = {
        app: made.id,
        alias,
        refresh_token: `refresh-of-${alias}`,
        access_token: `token-of-${alias}`,
        expires_in: 3600,
        takeover: false,
      };
      const added = await world.api('POST', '/v1/grants', grant);
      if (added.status !== 201) throw new Error(JSON.stringify(added.body));
    },
    get: (path, init = {}) => {
      const headers = new Headers(init.headers);
      if (!headers.has('authorization')) headers.set('authorization', `Bearer ${key}`);
      return fetch(`${app.proxyOrigin ?? origin}${path}`, { redirect: 'manual', ...init, headers });
    },
    raw: (path, headers = {}, method = 'GET') =>
      new Promise((resolve, reject) => {
        const { hostname, port } = new URL(app.proxyOrigin ?? origin);
        const all = { authorization: `Bearer ${key}`, ...headers };
        rawRequest({ hostname, port, method, path, headers: all, agent: false }, (answer) => {
          buffer(answer).then((body) => resolve({ status: answer.statusCode ?? 0, body: body.toString() }), reject);
        })
          .on('error', reject)
          .end();
      }),
    async [Symbol.asyncDispose]() {
      upstream.close();
      upstream.closeAllConnections();
      await app.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return world;
}
