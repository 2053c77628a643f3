/**
 * The servers that `bench/emulator.ts` compares, each in a process of its own: the emulator, `oidc-provider`, and a bare
 * one. Started with a message `{ kind, families }`, it sends where refresh requests go, and a token of each family; asked
 * by any other message, how many microseconds of processor time it took so far, all its threads together.
 */
import { generateKeyPairSync } from 'node:crypto';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Adapter, type AdapterPayload, Provider } from 'oidc-provider';
import { emulator } from '../src/emulator.ts';

export type Kind = 'emulator' | 'oidc-provider' | 'bare';

export interface Ready {
  readonly port: number;
  readonly path: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** JSON for the bare one, forms for the others. */
  readonly isJson: boolean;
  readonly tokens: readonly string[];
}

const CLIENT = { clientId: 'bench', clientSecret: 'a secret of the bench' };
const LIFE_S = 86_400;
/** As long as Exact Online's. */
const TOKEN = 'r'.repeat(260);
const ACCESS = 'a'.repeat(376);

/** Exact Online's rules, without the limits that a bench would run into. */
async function emulated(families: number): Promise<Ready> {
  const none = Number.POSITIVE_INFINITY;
  const server = await emulator('exact-online', { switches: { spacingExempt: true, tokenCallsPerDay: none } });
  const { clientId, clientSecret, control, baseUrl } = server;
  const tokens = Array.from({ length: families }, (_, i) => {
    const { username } = control.addUser({ username: `user-${i}` });
    return control.grant({ user: username }).refreshToken;
  });
  return {
    port: Number(new URL(baseUrl).port),
    path: '/api/oauth2/token',
    clientId,
    clientSecret,
    isJson: false,
    tokens,
  };
}

/** The least that can be called a token endpoint: parses a JSON body, and answers JSON of the size of a token answer. */
async function bare(families: number): Promise<Ready> {
  const port = await listen((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { refresh_token } = JSON.parse(Buffer.concat(chunks).toString()) as { refresh_token: string };
      const answer = JSON.stringify({ access_token: ACCESS, token_type: 'bearer', expires_in: 600, refresh_token });
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': answer.length }).end(answer);
    });
  });
  return { port, path: '/token', ...CLIENT, isJson: true, tokens: Array.from({ length: families }, () => TOKEN) };
}

async function certified(families: number): Promise<Ready> {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const provider = new Provider('http://localhost', {
    adapter: memory(),
    clients: [
      {
        client_id: CLIENT.clientId,
        client_secret: CLIENT.clientSecret,
        redirect_uris: ['http://localhost/callback'],
        grant_types: ['authorization_code', 'refresh_token'],
        token_endpoint_auth_method: 'client_secret_post',
      },
    ],
    jwks: { keys: [privateKey.export({ format: 'jwk' })] },
    cookies: { keys: ['a key for the cookies of this bench'] },
    scopes: ['api', 'offline_access'],
    rotateRefreshToken: true,
    ttl: { AccessToken: LIFE_S, Grant: LIFE_S, RefreshToken: LIFE_S },
    features: { devInteractions: { enabled: false } },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  });
  const tokens: string[] = [];
  for (let i = 0; i < families; i++) tokens.push(await chain(provider, `user-${i}`));
  const answer = provider.callback();
  const port = await listen((request, response) => void answer(request, response));
  return { port, path: '/token', ...CLIENT, isJson: false, tokens };
}

async function chain(provider: Provider, accountId: string): Promise<string> {
  const client = await provider.Client.find(CLIENT.clientId);
  if (!client) throw new Error('the bench has no client');
  const grant = new provider.Grant({ accountId, clientId: CLIENT.clientId });
  grant.addOIDCScope('api offline_access');
  const grantId = await grant.save();
  const token = new provider.RefreshToken({
    accountId,
    client,
    grantId,
    gty: 'authorization_code',
    scope: 'api offline_access',
  });
  return token.save();
}

/** Maps, as the emulator has them; its own store forgets all but a thousand. */
function memory(): (name: string) => Adapter {
  const rows = new Map<string, AdapterPayload>();
  return (name) => ({
    upsert: async (id, payload) => void rows.set(`${name}:${id}`, payload),
    find: async (id) => rows.get(`${name}:${id}`),
    findByUid: async () => undefined,
    findByUserCode: async () => undefined,
    consume: async (id) => {
      const row = rows.get(`${name}:${id}`);
      if (row) row.consumed = Math.floor(Date.now() / 1000);
    },
    destroy: async (id) => void rows.delete(`${name}:${id}`),
    revokeByGrantId: async () => undefined,
  });
}

async function listen(listener: RequestListener): Promise<number> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

const START: Readonly<Record<Kind, (families: number) => Promise<Ready>>> = {
  emulator: emulated,
  'oidc-provider': certified,
  bare,
};

function processorTime(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

process.once('message', (message) => {
  const { kind, families } = message as { kind: Kind; families: number };
  START[kind](families).then(
    (ready) => {
      process.on('message', () => process.send?.(processorTime()));
      process.send?.(ready);
    },
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.once('disconnect', () => process.exit());
