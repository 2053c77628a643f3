import fc from 'fast-check';
import { expect, test } from 'vitest';
import { TestClient, type Tokens, tokensOf } from './client.fixture.ts';

/** What one authorization knows: the token that was activated last, and the one issued after it that was not yet. */
interface Model {
  active: Tokens | null;
  pending: Tokens | null;
  readonly older: Tokens[];
}

const actions = fc.array(
  fc.constantFrom('refresh active', 'refresh pending', 'API with pending', 'API with active', 'refresh older'),
  { maxLength: 25 },
);

function activate(model: Model): void {
  if (!model.pending) return;
  if (model.active) model.older.push(model.active);
  model.active = model.pending;
  model.pending = null;
}

/** Presents a token that must be accepted; its answer takes the place of what was pending. */
async function refresh(client: TestClient, model: Model, token: Tokens): Promise<void> {
  const said = await client.refresh(token.refresh);
  expect(said.status).toBe(200);
  if (token === model.pending) activate(model);
  else if (model.pending) model.older.push(model.pending);
  model.pending = tokensOf(said);
}

async function play(client: TestClient, model: Model, action: string): Promise<void> {
  if (action === 'refresh active' && model.active) await refresh(client, model, model.active);
  if (action === 'refresh pending' && model.pending) await refresh(client, model, model.pending);
  if (action === 'API with pending' && model.pending) {
    expect((await client.me(model.pending.access)).status).toBe(200);
    activate(model);
  }
  if (action === 'API with active' && model.active) expect((await client.me(model.active.access)).status).toBe(200);
  if (action === 'refresh older') await refuseAll(client, model.older);
}

async function refuseAll(client: TestClient, tokens: readonly Tokens[]): Promise<void> {
  for (const one of tokens) expect(await client.refresh(one.refresh)).toMatchObject({ status: 401 });
}

/** A copy of the world in which one token is presented: presenting changes it, so each question needs its own. */
async function isAccepted(steps: readonly string[], which: 'active' | 'pending'): Promise<boolean | null> {
  const { client, model } = await run(steps);
  const token = model[which];
  return token && (await client.refresh(token.refresh)).status === 200;
}

async function run(steps: readonly string[]): Promise<{ client: TestClient; model: Model }> {
  const switches = { spacingExempt: true, tokenCallsPerDay: 100_000, errorsPerHour: 100_000, apiCallsPerMinute: 1000 };
  const client = new TestClient({ switches });
  const model: Model = { active: null, pending: await client.connect(), older: [] };
  for (const step of steps) await play(client, model, step);
  return { client, model };
}

test('[S14] the accepted refresh tokens are exactly the last activated one and the last issued one', async () => {
  await fc.assert(
    fc.asyncProperty(actions, async (steps) => {
      const { client, model } = await run(steps);
      await refuseAll(client, model.older);
      for (const which of ['active', 'pending'] as const) {
        expect(await isAccepted(steps, which)).toBe(model[which] === null ? null : true);
      }
    }),
    { numRuns: 150 },
  );
});

test('[S9] a refresh token that was just issued outlives the access token issued with it', async () => {
  await fc.assert(
    fc.asyncProperty(actions, async (steps) => {
      const { client, model } = await run(steps);
      const newest = model.pending ?? model.active;
      client.at(601);
      expect((await client.me(newest?.access ?? '')).status).toBe(401);
      expect((await client.refresh(newest?.refresh ?? '')).status).toBe(200);
    }),
    { numRuns: 50 },
  );
});
