/**
 * An authorization server that others wrote: `oidc-provider`, certified by the OpenID Foundation, on this machine. It
 * rotates refresh tokens at every exchange, and a token that comes twice ends the whole grant. What it saw is kept.
 */
import { generateKeyPairSync } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import {
  type Adapter,
  type AdapterPayload,
  type Configuration,
  type KoaContextWithOIDC,
  Provider,
} from 'oidc-provider';

export const ACCESS_TOKEN_LIFE_S = 3;

/** Everybody has an account there, and this password. */
export function passwordOf(login: string): string {
  return `the password of ${login}`;
}

/** What the server did at its token endpoint, in order. */
export interface TokenRequestSeen {
  readonly client: string;
  readonly grantType: string;
  /** The refresh token that was presented. */
  readonly presented: string | null;
  /** The server's own account of a refusal, which it does not send out. */
  readonly refusedBecause: string | null;
}

export interface CertifiedServer {
  /** On a host name of its own, so that a browser takes it for another site than Evergrant. */
  readonly issuer: string;
  readonly seen: readonly TokenRequestSeen[];
  /** Grants that were ended, as the specification wants it after a refresh token came twice. */
  readonly revokedGrants: readonly string[];
  /** Status of the userinfo endpoint for this access token. */
  userinfo(accessToken: string): Promise<number>;
  /** Presents a refresh token as somebody who got hold of it would; gives status and error. */
  presentByHand(refreshToken: string, registration: Registration): Promise<string>;
  close(): Promise<void>;
}

export interface Registration {
  readonly clientId: string;
  readonly clientSecret: string;
}

export async function certifiedServer(
  redirectUri: string,
  registrations: readonly Registration[],
): Promise<CertifiedServer> {
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const issuer = `http://localhost:${(listener.address() as AddressInfo).port}`;
  const provider = new Provider(issuer, configuration(redirectUri, registrations));
  const seen: TokenRequestSeen[] = [];
  const revokedGrants: string[] = [];
  keepLedger(provider, seen, revokedGrants);
  const serve = provider.callback();
  listener.on('request', (request: IncomingMessage, response: ServerResponse) => {
    if (!request.url?.startsWith('/interaction/')) return void serve(request, response);
    interact(provider, request, response).catch((error: unknown) => {
      response.writeHead(500).end(String(error));
    });
  });
  return {
    issuer,
    seen,
    revokedGrants,
    async userinfo(accessToken) {
      const asked = await fetch(`${issuer}/me`, { headers: { authorization: `Bearer ${accessToken}` } });
      await asked.arrayBuffer();
      return asked.status;
    },
    async presentByHand(refreshToken, { clientId, clientSecret }) {
      const [id, secret] = [encodeURIComponent(clientId), encodeURIComponent(clientSecret)];
      const answer = await fetch(`${issuer}/token`, {
        method: 'POST',
        headers: { authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` },
        body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: refreshToken }),
      });
      const { error } = (await answer.json()) as { readonly error?: string };
      return `${answer.status} ${error}`;
    },
    close: () => closed(listener),
  };
}

function closed(listener: Server): Promise<void> {
  listener.closeAllConnections();
  return new Promise((resolve) => {
    listener.close(() => resolve());
  });
}

function configuration(redirectUri: string, registrations: readonly Registration[]): Configuration {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return {
    adapter: memory(),
    clients: registrations.map(({ clientId, clientSecret }) => ({
      client_id: clientId,
      client_secret: clientSecret,
      redirect_uris: [redirectUri],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
    })),
    jwks: { keys: [privateKey.export({ format: 'jwk' })] },
    cookies: { keys: ['a key for the cookies of this test'] },
    claims: { openid: ['sub'], profile: ['preferred_username'] },
    scopes: ['openid', 'offline_access'],
    pkce: { required: () => true },
    rotateRefreshToken: true,
    ttl: {
      AccessToken: ACCESS_TOKEN_LIFE_S,
      AuthorizationCode: 60,
      Grant: 3600,
      IdToken: 60,
      Interaction: 600,
      RefreshToken: 3600,
      Session: 3600,
    },
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_, { uid }) => `/interaction/${uid}` },
    findAccount: (_, accountId) => ({
      accountId,
      claims: () => ({ sub: accountId, preferred_username: accountId.slice(ACCOUNT.length) }),
    }),
  };
}

function keepLedger(provider: Provider, seen: TokenRequestSeen[], revokedGrants: string[]): void {
  const note = ({ oidc: { params, client } }: KoaContextWithOIDC, refusedBecause: string | null): void => {
    const presented = params?.refresh_token;
    seen.push({
      client: client?.clientId ?? '',
      grantType: String(params?.grant_type),
      presented: typeof presented === 'string' ? presented : null,
      refusedBecause,
    });
  };
  provider.on('grant.success', (ctx) => note(ctx, null));
  provider.on('grant.error', (ctx, error) => note(ctx, error.error_detail ?? error.message));
  provider.on('grant.revoked', (_, grant) => revokedGrants.push(grant));
}

/** Everything in memory, for as long as the test runs: as its own development adapter does, without the warning. */
function memory(): (name: string) => Adapter {
  const rows = new Map<string, AdapterPayload>();
  const find = (test: (row: AdapterPayload) => boolean) => [...rows.values()].find(test);
  return (name) => ({
    upsert: async (id, payload) => void rows.set(`${name}:${id}`, payload),
    find: async (id) => rows.get(`${name}:${id}`),
    findByUid: async (uid) => find((row) => row.kind === name && row.uid === uid),
    findByUserCode: async (code) => find((row) => row.kind === name && row.userCode === code),
    consume: async (id) => {
      const row = rows.get(`${name}:${id}`);
      if (row) row.consumed = Math.floor(Date.now() / 1000);
    },
    destroy: async (id) => void rows.delete(`${name}:${id}`),
    revokeByGrantId: async (grant) => {
      for (const [key, row] of rows) if (row.grantId === grant) rows.delete(key);
    },
  });
}

/** The server's own pages: one to sign in, one to consent. */
async function interact(provider: Provider, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { prompt, params, session, grantId } = await provider.interactionDetails(request, response);
  if (request.method !== 'POST') {
    return page(
      response,
      prompt.name === 'login' ? LOGIN : consent(session?.accountId ?? '', String(params.client_id)),
    );
  }
  const form = new URLSearchParams(await text(request));
  if (prompt.name === 'login') {
    const login = form.get('login') ?? '';
    if (form.get('password') !== passwordOf(login)) return page(response, LOGIN);
    const result = { login: { accountId: `${ACCOUNT}${login}` } };
    return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
  }
  if (form.get('answer') === 'deny') {
    const result = { error: 'access_denied', error_description: 'The person said no.' };
    return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
  }
  const accountId = session?.accountId ?? '';
  const known = grantId === undefined ? undefined : await provider.Grant.find(grantId);
  const grant = known ?? new provider.Grant({ accountId, clientId: String(params.client_id) });
  grant.addOIDCScope(String(params.scope));
  const result = { consent: { grantId: await grant.save() } };
  return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
}

const ACCOUNT = 'account-';

const LOGIN = `<h1>Sign in</h1><form method="post">
<label>Login <input name="login"></label> <label>Password <input name="password" type="password"></label>
<button>Sign in</button></form>`;

function consent(account: string, client: string): string {
  return `<h1>Consent</h1><p>${account} lets ${client} in.</p><form method="post">
<button name="answer" value="allow">Allow</button> <button name="answer" value="deny">Deny</button></form>`;
}

function page(response: ServerResponse, body: string): void {
  const html = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Certified server</title>${body}</html>`;
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' }).end(html);
}
