import { expect, test } from 'vitest';
import { formNamed, START, TestClient, tokensOf } from './client.fixture.ts';
import { withControl } from './control.ts';

const DAY = 86_400;
const OFFLINE = { scope: 'offline_access' };
const storyOf = (client: TestClient, n = 0) => client.server.report().chains[n]?.story.join(' ');

test('a token that came after its successor was used by an API call is told as that', async () => {
  const client = new TestClient();
  const first = await client.connect();
  const second = tokensOf(await client.at(570).refresh(first.refresh));
  await client.me(second.access);
  await client.at(570 + 720).refresh(first.refresh);
  expect(storyOf(client)).toBe(
    'Token 1 of emma was presented again 12 minutes after token 2 had been used by an API call; from then on only newer tokens count. Token 2 is still good: whoever holds it can go on.',
  );
  expect(client.server.report().text).toMatch(/^1 chain: 0 alive, 1 lost, 0 ended/);
});

test('an answer that was lost is named with its fault', async () => {
  const client = new TestClient();
  const { refresh } = await client.connect();
  client.at(570).server.addFaults([{ fault: 'drop-after-commit' }]);
  await client.refresh(refresh);
  await client.at(570 + 660).refresh(refresh);
  expect(storyOf(client)).toBe(
    'Token 1 of emma was presented again 11 minutes after its first use; a spent token may be presented for 10 minutes, while its successor is unused. The answer that brought token 2 was struck by drop-after-commit. Token 2 is still good: whoever holds it can go on.',
  );
});

test('a displaced token is told with the token that took its place', async () => {
  const client = new TestClient({ switches: { spacingExempt: true } });
  const { refresh } = await client.connect();
  const lost = tokensOf(await client.refresh(refresh));
  await client.at(30).refresh(refresh);
  await client.at(60).refresh(lost.refresh);
  expect(storyOf(client)).toContain(
    'Token 2 of emma was presented, but its place had been taken 30 seconds before: token 1 was presented once more before it was used, and token 3 came of that.',
  );
});

test('a newer authorization that ended the chain is named', async () => {
  const client = new TestClient();
  const { refresh } = await client.connect();
  await client.at(60).connect();
  await client.at(600).refresh(refresh);
  const { chains, text } = client.server.report();
  expect(chains.map((one) => one.state)).toEqual(['lost', 'alive']);
  expect(text).toContain('when the same user authorized the same app anew: only the newest authorization counts.');
});

test('reuse that ended a family, a withdrawn consent, age and a full house each have their sentence', async () => {
  const reused = new TestClient({ form: formNamed('auth0') });
  const { refresh } = await reused.connect(OFFLINE);
  await reused.refresh(refresh);
  await reused.at(300).refresh(refresh);
  expect(storyOf(reused)).toBe(
    'Token 1 of emma was presented again 5 minutes after its first use; each token can be presented once. That ended the whole chain, newer tokens too.',
  );
  const revoked = new TestClient({ form: formNamed('auth0') });
  await revoked.connect(OFFLINE);
  revoked.server.revoke();
  expect(storyOf(revoked)).toBe('The authorization was withdrawn at 2026-11-22T09:00:00.000Z.');
  const old = new TestClient({ form: formNamed('auth0') });
  const late = await old.connect(OFFLINE);
  await old.at(40 * DAY).refresh(late.refresh);
  expect(storyOf(old)).toBe('Token 1 of emma was presented 40 days after its last use; unused it lives 30 days.');
  const full = new TestClient({ form: formNamed('auth0'), switches: { tokensPerUserAndApp: 1 } });
  const evicted = await full.connect(OFFLINE);
  await full.connect(OFFLINE);
  await full.at(120).refresh(evicted.refresh);
  expect(storyOf(full)).toContain('newer tokens of the same user and app took the last of 1 places.');
});

test('a flipped bit is recognised by the token that it was', async () => {
  const client = new TestClient();
  const { refresh } = await client.connect();
  await client.at(570).refresh(`${refresh.slice(0, -1)}${refresh.endsWith('A') ? 'B' : 'A'}`);
  expect(client.server.report().text).toContain('differs from one that was in a single character');
});

test('a refusal that waiting mends is no loss, and a chain that went on is alive', async () => {
  const client = new TestClient();
  const { refresh } = await client.connect();
  await client.at(10).refresh(refresh);
  expect(client.server.report().chains[0]?.state).toBe('alive');
  await client.at(570).refresh(refresh);
  expect(client.server.report().text).toBe('1 chain: 1 alive, 0 lost, 0 ended without being missed.\n');
});

test('the report is to be had from the control address, as JSON and as text', async () => {
  const client = new TestClient();
  await client.connect();
  const handle = withControl(client.server, 'key');
  const get = (accept: string) =>
    handle({
      method: 'GET',
      url: '/_emu/report',
      headers: { authorization: 'Bearer key', accept },
      body: new Uint8Array(),
    });
  expect((await get('text/plain')).text).toBe(client.server.report().text);
  expect(JSON.parse((await get('application/json')).text)).toMatchObject({
    chains: [{ user: 'emma.devries@example.com', state: 'alive', startedAt: new Date(START).toISOString() }],
  });
});
