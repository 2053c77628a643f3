/** Whatever credentials, tokens, proofs and wishes are put together: who does not hold all that is right gets nothing. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { OAuthError } from '../src/oauth/oauth-error.ts';
import { type DpopKey, dpopKey } from './support/dpop.ts';
import { issuerBench, issuerOn, refused } from './support/issuer-bench.ts';

const TOKEN = 'http://127.0.0.1:8787/oauth/token';
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const REFRESH_TOKEN = 'urn:ietf:params:oauth:token-type:refresh_token';

const NAMES = ['plain', 'other', 'page', 'keyed'] as const;
type Name = (typeof NAMES)[number];

async function world() {
  const bench = await issuerBench();
  await bench.world.imported();
  const made = {
    plain: await bench.client(),
    other: await bench.client(),
    page: await bench.client({ authMethod: 'none', isDpopBound: true }),
    keyed: await bench.client({ isDpopBound: true }),
  };
  const keys = { plain: dpopKey(), other: dpopKey(), page: dpopKey(), keyed: dpopKey() };
  const now = () => bench.world.clock.now();
  const spent = {} as Record<Name, string>;
  // Each key is known, and has a proof that was used.
  for (const name of NAMES) {
    spent[name] = keys[name].proof(TOKEN, now());
    await made[name].refresh(made[name].refreshToken, spent[name]);
  }
  return { bench, nodes: [bench, issuerOn(bench.world)], made, keys, spent, now };
}

const CREDENTIALS = [
  'right',
  'header',
  'wrong secret',
  "another's secret",
  'name alone',
  'nothing',
  'both ways',
] as const;
const PROOFS = ['none', 'own', 'stranger', "another's", 'spent', 'stale', 'other address', 'garbage'] as const;
const GRANTS = ['refresh_token', 'client_credentials', EXCHANGE, 'authorization_code', 'password', ''] as const;
const TEXTS = ['right', 'cut', 'one letter', 'next counter', 'nothing', 'access token'] as const;

/** Most often what is right, so that many attempts are wrong in one thing alone. */
function mostly<const R, const T>(right: R, all: readonly T[]): fc.Arbitrary<R | T> {
  return fc.oneof<fc.WeightedArbitrary<R | T>[]>(
    { weight: 4, arbitrary: fc.constant(right) },
    { weight: 1, arbitrary: fc.constantFrom(...all) },
  );
}

const attempt = fc.record({
  client: fc.constantFrom(...NAMES),
  credentials: mostly('right', CREDENTIALS),
  grant: mostly('refresh_token', GRANTS),
  tokenOf: mostly(null, NAMES),
  text: mostly('right', TEXTS),
  proof: mostly('own', PROOFS),
  scope: mostly('', ['read', 'read write', 'eol', 'admin']),
  resource: mostly('', ['eol', 'http://127.0.0.1:8787/proxy/eol', 'other', 'http://evil.example/proxy/eol']),
  node: fc.nat({ max: 1 }),
});
type Attempt = typeof attempt extends fc.Arbitrary<infer T> ? T : never;
type World = Awaited<ReturnType<typeof world>>;

/** What a client with everything right gets, by the book. */
function isRight({ client, credentials, grant, tokenOf, text, proof, scope, resource }: Attempt): boolean {
  const hasSecret = client !== 'page';
  const isKnown = hasSecret
    ? credentials === 'right' || credentials === 'header'
    : ['right', 'name alone'].includes(credentials);
  const isProofGood = !['stale', 'other address', 'garbage'].includes(proof);
  const needsKey = client === 'page' || client === 'keyed';
  const isTokenRight = text === 'right' && (tokenOf ?? client) === client && (!needsKey || proof === 'own');
  const isWishRight =
    ['', 'read', 'eol'].includes(scope) && ['', 'eol', 'http://127.0.0.1:8787/proxy/eol'].includes(resource);
  if (!isKnown || !isProofGood || !isWishRight) return false;
  if (grant === 'client_credentials') return !needsKey;
  return (grant === 'refresh_token' || grant === EXCHANGE) && isTokenRight;
}

function proofOf({ keys, spent, now }: World, { client, proof }: Attempt): string | undefined {
  const made = (key: DpopKey, address = TOKEN, claims = {}) => key.proof(address, now(), { claims });
  switch (proof) {
    case 'none':
      return undefined;
    case 'own':
      return made(keys[client]);
    case 'stranger':
      return made(dpopKey());
    case "another's":
      return made(client === 'page' ? keys.keyed : keys.page);
    case 'spent':
      return spent[client];
    case 'stale':
      return made(keys[client], TOKEN, { iat: now() / 1000 - 61 });
    case 'other address':
      return made(keys[client], 'http://127.0.0.1:8787/oauth/par');
    case 'garbage':
      return 'garbage';
  }
}

function tokenText({ made }: World, { client, tokenOf, text }: Attempt): string {
  const right = made[tokenOf ?? client].refreshToken;
  switch (text) {
    case 'right':
      return right;
    case 'cut':
      return right.slice(0, -1);
    case 'one letter':
      return `${right.slice(0, -2)}${right.at(-2) === 'A' ? 'B' : 'A'}${right.at(-1)}`;
    case 'next counter':
      return `${right.slice(0, 35)}2${right.slice(36)}`;
    case 'nothing':
      return 'evr_';
    case 'access token':
      return 'at-0-eol';
  }
}

function sent(all: World, one: Attempt): { fields: Record<string, string>; authorization: string | undefined } {
  const { id, secret } = all.made[one.client];
  const other = all.made[one.client === 'plain' ? 'other' : 'plain'];
  const inBody = (text: string) => ({ client_id: id, ...(text === '' ? {} : { client_secret: text }) });
  const basic = `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;
  const ways = {
    right: inBody(secret),
    header: {},
    'wrong secret': inBody(`${secret}x`),
    "another's secret": inBody(other.secret),
    'name alone': inBody(''),
    nothing: {},
    'both ways': inBody(secret === '' ? 'x' : secret),
  };
  const text = tokenText(all, one);
  const fields: Record<string, string> = {
    ...ways[one.credentials],
    ...(one.grant === '' ? {} : { grant_type: one.grant }),
    ...(one.grant === EXCHANGE
      ? { subject_token: text, subject_token_type: REFRESH_TOKEN }
      : { refresh_token: text, code: text }),
    ...(one.scope === '' ? {} : { scope: one.scope }),
    ...(one.resource === '' ? {} : { resource: one.resource }),
  };
  const isHeader = one.credentials === 'both ways' || one.credentials === 'header';
  return { fields, authorization: isHeader ? basic : undefined };
}

test('[S117] [S120] of all that can be put together, only what is right in every part gives a token, on every node', async () => {
  const all = await world();
  let given = 0;
  await fc.assert(
    fc.asyncProperty(attempt, async (one) => {
      const { fields, authorization } = sent(all, one);
      const asked = all.nodes[one.node]?.token(fields, authorization, proofOf(all, one));
      const answer: unknown = await asked?.catch((cause: unknown) => cause);
      // A public client that sends its name in the header with an empty secret is known by it.
      const isNamed = one.client === 'page' && one.credentials === 'header';
      const expected = isRight(isNamed ? { ...one, credentials: 'name alone' } : one);
      if (answer instanceof Error && !(answer instanceof OAuthError)) throw answer;
      expect(!(answer instanceof Error)).toBe(expected);
      if (answer instanceof OAuthError) expect(answer.status).toBeLessThan(500);
      else given += 1;
    }),
    { numRuns: 2_000 },
  );
  // Otherwise nothing was shown.
  expect(given).toBeGreaterThan(100);
  // And after all that, each has what it had.
  for (const name of ['plain', 'other'] as const) await all.made[name].refresh();
  for (const name of ['page', 'keyed'] as const) {
    await all.made[name].refresh(all.made[name].refreshToken, all.keys[name].proof(TOKEN, all.now()));
  }
});

test('[S120] who guesses secrets and tokens of a client a thousand times pushes no other reason out of its events', async () => {
  const bench = await issuerBench();
  await bench.world.imported();
  const { id, refreshToken, credentials } = await bench.client();
  const other = await bench.client();
  const present = (fields: object) => bench.token({ grant_type: 'refresh_token', ...credentials, ...fields });
  await refused(present({ refresh_token: other.refreshToken }));
  for (let i = 0; i < 1_000; i++) {
    await refused(present({ refresh_token: refreshToken, client_secret: `evs_${i}` }));
    if (i % 100 === 0) await refused(present({ refresh_token: `evr_${i}` }));
    if (i % 300 === 0) await bench.restart();
  }
  const events = await bench.issuer.clients.events(id);
  expect(events.map(({ type, reason, times = 1 }) => [type, reason, times])).toEqual([
    ['client_refused', 'wrong secret', 1_000],
    ['refresh_token_refused', 'unknown', 10],
    ['refresh_token_refused', 'other client', 1],
    ['refresh_token_issued', undefined, 1],
  ]);
});
