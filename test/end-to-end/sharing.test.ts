/**
 * The real server before an emulated Exact Online, which lets one program refresh at a time and no other: several clients
 * of one grant, several apps of one account, and a client that loses whatever a client can lose.
 */
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { World } from '../support/servers.ts';

let world: World;
beforeAll(async () => {
  world = await World.create(11);
  await world.start();
  await world.connect('eol');
});
afterAll(() => world?.close());

interface Made {
  readonly client_id: string;
  readonly client_secret: string;
  readonly refresh_tokens: Readonly<Record<string, string>>;
}

async function client(name: string): Promise<Made> {
  return (await world.api('POST', '/v1/clients', { name, grants: ['eol'] })).body as unknown as Made;
}

const formOf = ({ client_id, client_secret, refresh_tokens }: Made, refreshToken = refresh_tokens.eol ?? '') =>
  new URLSearchParams({ grant_type: 'refresh_token', client_id, client_secret, refresh_token: refreshToken });

async function refresh(made: Made, refreshToken?: string): Promise<{ status: number; said: Record<string, unknown> }> {
  const answer = await fetch(`${world.origin}/oauth/token`, { method: 'POST', body: formOf(made, refreshToken) });
  return { status: answer.status, said: (await answer.json()) as Record<string, unknown> };
}

/** What the provider refused at its token endpoint. */
const refusals = () =>
  world.provider.control.ledger().filter((entry) => entry.endpoint === 'token' && entry.issued.length === 0);

test('[S34] [S86] [S87] twelve databases with credentials of their own share one grant at the same moment, and the provider sees one program', async () => {
  const databases = await Promise.all(Array.from({ length: 12 }, (_, i) => client(`Database ${i}`)));
  const seen = new Set<unknown>();
  for (let hour = 0; hour < 3; hour++) {
    await world.advance(3_600);
    const before = world.exchanges().length;
    const answers = await Promise.all([...databases, ...databases].map((one) => refresh(one)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    const tokens = new Set(answers.map(({ said }) => said.access_token));
    expect([tokens.size, world.exchanges().length - before]).toEqual([1, 1]);
    for (const token of tokens) seen.add(token);
    expect(answers.map(({ said }) => said.refresh_token)).toEqual(
      [...databases, ...databases].map((one) => one.refresh_tokens.eol),
    );
  }
  expect(seen.size).toBe(3);
  const [removed, ...others] = databases;
  await world.api('DELETE', `/v1/clients/${removed?.client_id}`);
  const after = await Promise.all(databases.map((one) => refresh(one)));
  expect(after.map(({ status }) => status)).toEqual([401, ...others.map(() => 200)]);
  expect(refusals()).toEqual([]);
});

test('[S41] [S89] one account through two apps is two chains, which are exchanged in turns and know nothing of each other', async () => {
  const own = world.provider.control.addApp('an app of its own', [`${world.origin}/callback`]);
  const app = await world.api('POST', '/v1/apps', {
    provider: world.provider.providerFile.id,
    client_id: own.clientId,
    client_secret: own.clientSecret,
  });
  const grant = await world.api('POST', '/v1/grants', { app: app.body.id, alias: 'byoa' });
  await world.authorize(grant.body.authorization_url);
  const read = async (alias: string) => {
    const { body } = await world.api('GET', `/v1/grants/${alias}`);
    return body as unknown as { account: { subject: string }; state: string; generation: number };
  };
  const [shared, brought] = [await read('eol'), await read('byoa')];
  expect(brought.account.subject).toBe(shared.account.subject);
  const tokens = new Set<unknown>();
  for (let turn = 0; turn < 6; turn++) {
    await world.advance(1_200);
    for (const alias of turn % 2 === 0 ? ['eol', 'byoa'] : ['byoa', 'eol']) {
      const { status, body } = await world.api('POST', `/v1/grants/${alias}/token`, {});
      expect([turn, alias, status]).toEqual([turn, alias, 200]);
      tokens.add((body as unknown as { access_token: string }).access_token);
    }
  }
  expect(tokens.size).toBe(12);
  expect(refusals()).toEqual([]);
  for (const alias of ['eol', 'byoa']) expect(await read(alias)).toMatchObject({ state: 'active', generation: 1 });
});

test('[S121] a client whose answer is lost, dropped, not stored or damaged has the same refresh token as before, and it works', async () => {
  const made = await client('Unlucky');
  const { port, hostname } = new URL(world.origin);
  const losses: readonly (readonly [string, () => Promise<unknown>])[] = [
    [
      'the network ends before the answer',
      async () => {
        const body = String(formOf(made));
        const socket = connect(Number(port), hostname);
        const head = `POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded`;
        socket.end(`${head}\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
        socket.destroySoon();
      },
    ],
    [
      'a bug drops what came',
      async () => {
        const { said } = await refresh(made);
        expect(said.refresh_token).toBe(made.refresh_tokens.eol);
      },
    ],
    ['its database keeps the state before', () => Promise.all([refresh(made), refresh(made)])],
    [
      'a bit of its copy is another',
      async () => {
        const copy = Buffer.from(made.refresh_tokens.eol ?? '');
        for (let i = 4; i < copy.length; i += 7) {
          const damaged = Buffer.from(copy);
          damaged[i] = (damaged[i] ?? 0) ^ 1;
          expect(await refresh(made, damaged.toString('latin1'))).toEqual({
            status: 400,
            said: { error: 'invalid_grant' },
          });
        }
      },
    ],
  ];
  for (const [loss, happens] of losses) {
    await world.advance(1_200);
    await happens();
    const { status, said } = await refresh(made);
    expect([loss, status, said.refresh_token]).toEqual([loss, 200, made.refresh_tokens.eol]);
  }
  expect(refusals()).toEqual([]);
});
