/** A database that was restored from an older backup: what the journal remembers, the keeper does not forget. */
import { describe, expect, test } from 'vitest';
import { POLICIES } from '../src/core/policies.fixture.ts';
import type { RotationPolicy } from '../src/core/rotation-policy.ts';
import { Secret } from '../src/core/secret.ts';
import type { NumberedRecord } from '../src/ports/journal.ts';
import { type Restorable, restorable } from './support/restorable.ts';
import { json, LOST } from './support/scripted-upstream.ts';
import { codeOf } from './support/refusal.ts';

const WISH = { minTtlMs: 5_000, waitMs: 0 };

/** After `before` exchanges a backup is made, and restored four exchanges later; of the journal so many records are left. */
async function restored(policy: RotationPolicy, before: number, journalKept: number): Promise<Restorable> {
  const run = await restorable(policy);
  await run.world.imported();
  for (let i = 0; i < before; i++) await run.use();
  const backup = run.backup();
  for (let i = 0; i < 4; i++) await run.use();
  await run.restore(backup, run.world.journal.numbered.slice(-journalKept));
  return run;
}

describe('a database restored from an older backup', () => {
  test.each(Object.entries(POLICIES))(
    'presents the newest token that the journal has, and none that it had presented before (%s)',
    async (_name, policy) => {
      await using run = await restored(policy, 2, 7);
      expect(await run.use()).toBe('at-7');
      expect(run.world.upstream.presented).toEqual(['rt-6']);
      expect((await run.world.keeper.grants.get('eol')).state).toBe('active');
    },
  );

  test('does so although the journal does not reach back to the backup', async () => {
    await using run = await restored(POLICIES.oneTimeRevoking, 2, 1);
    expect(await run.use()).toBe('at-7');
    expect(run.world.upstream.presented).toEqual(['rt-6']);
  });

  test('never goes back to a token that it had presented, when the newest one is refused', async () => {
    await using run = await restored(POLICIES.revokingAccount, 0, 5);
    run.world.upstream.script.push(() => json(400, { error: 'invalid_grant' }));
    expect(await run.use().catch(codeOf)).toBe('authorization_required');
    expect(run.world.upstream.presented).toEqual(['rt-4']);
    expect((await run.world.keeper.grants.get('eol')).state).toBe('broken');
  });

  test('leaves a token that may have been presented since alone for a minute, where presenting it twice revokes', async () => {
    await using run = await restorable(POLICIES.oneTimeRevoking);
    const { clock, upstream } = run.world;
    await run.world.imported();
    const backup = run.backup();
    await run.use();
    const ask = () => clock.until(run.world.keeper.tokens.get('eol', WISH).then(() => 'served', codeOf));
    await clock.advance(700_000);
    await run.restore(backup);
    await clock.advance(50_000);
    expect(await ask()).toBe('held');
    // The next run knows of the restore too.
    await run.world.restart();
    await clock.advance(50_000);
    expect(await ask()).toBe('held');
    expect(upstream.presented).toEqual([]);
    expect(await run.use()).toBe('at-2');
  });

  test('does not present again what was sent since and never answered, where that would end other grants too', async () => {
    await using run = await restorable(POLICIES.revokingAccount);
    await run.world.imported();
    await run.use();
    const backup = run.backup();
    run.world.upstream.script.push(() => LOST);
    expect(await run.use().catch(codeOf)).toBe('authorization_required');
    await run.restore(backup);
    expect(await run.use().catch(codeOf)).toBe('authorization_required');
    expect(run.world.upstream.presented).toEqual([]);
    const { diagnosis } = await run.world.keeper.grants.get('eol');
    expect(diagnosis?.code).toBe('successor_lost');
    expect(diagnosis?.evidence).toContain('the database that knew what became of it was restored from an older backup');
  });

  test.each([
    ['the answer was lost', 'oneTimeRevoking', () => LOST],
    ['the answer was a server error', 'oneTimeRevoking', () => json(502, {})],
    ['the answer was lost', 'oneTime', () => LOST],
    ['the answer was lost', 'window60s', () => LOST],
  ] as const)('says that %s before the restore, when the token is refused after it (%s)', async (_, name, lost) => {
    await using run = await restorable(POLICIES[name]);
    const { clock, upstream, keeper } = run.world;
    await run.world.imported();
    await run.use();
    const backup = run.backup();
    upstream.script.push(lost);
    await clock.advance(700_000);
    void keeper.tokens.get('eol', WISH).catch(() => undefined);
    await clock.advance(500);
    await run.restore(backup);
    expect((await run.world.keeper.grants.get('eol')).state).toBe('in_doubt');
    upstream.script.push(() => json(400, { error: 'invalid_grant' }));
    expect(await run.use().catch(codeOf)).toBe('authorization_required');
    expect((await run.world.keeper.grants.get('eol')).diagnosis?.code).toBe('successor_lost');
    expect(upstream.presented).toEqual(['rt-1']);
  });

  test('believes what was refused before the restore, and asks nobody again', async () => {
    await using run = await restorable(POLICIES.revokingAccount);
    await run.world.imported();
    await run.use();
    const backup = run.backup();
    run.world.upstream.script.push(() => json(400, { error: 'invalid_grant' }));
    expect(await run.use().catch(codeOf)).toBe('authorization_required');
    await run.restore(backup);
    expect(await run.use().catch(codeOf)).toBe('authorization_required');
    expect(run.world.upstream.presented).toEqual([]);
    expect((await run.world.keeper.grants.get('eol')).diagnosis?.code).toBe('used_elsewhere');
  });

  test('knows what was never sent: its token counts as unused', async () => {
    await using run = await restorable(POLICIES.revokingAccount);
    await run.world.imported();
    await run.use();
    const backup = run.backup();
    run.world.upstream.script.push(() => ({ kind: 'not_sent', reason: 'the connection was closed' }));
    expect(await run.use()).toBe('at-2');
    const notSent = run.world.journal.numbered.slice(0, -2);
    await run.restore(backup, notSent);
    expect((await run.world.keeper.grants.get('eol')).state).toBe('active');
    expect(await run.use()).toBe('at-3');
    expect(run.world.upstream.presented).toEqual(['rt-1']);
  });

  test('says what was answered since, and that the store was told of it, and needs no second merge', async () => {
    await using run = await restored(POLICIES.oneTime, 2, 7);
    const { journal, store, clock } = run.world;
    await clock.advance(61_000);
    expect((await store.nodes.view()).nodes[0]?.merged).toBe(journal.settledUpTo());
    expect(journal.lastTold).toBe(journal.settledUpTo());
    const { exchanges } = await run.world.keeper.grants.get('eol');
    await run.world.restart();
    expect((await run.world.keeper.grants.get('eol')).exchanges).toBe(exchanges);
    expect(exchanges).toBe(6);
  });
});

/**
 * Grants come by import and by a person, are exchanged, renewed and ended, and an alias is used again. A backup is made
 * at every step of every exchange and between them.
 */
async function busyRun(policy: RotationPolicy) {
  const run = await restorable(policy);
  const { world } = run;
  const backups: string[] = [];
  const newest = new Map<string, string>();
  const ended: string[] = [];
  /** Every refresh token there was. */
  const tokens: string[] = [];
  const step = async (alias: string, work: () => Promise<unknown>): Promise<void> => {
    await work();
    newest.set(alias, tokens.at(-1) ?? '');
    backups.push(run.backup());
  };
  world.atStep(() => void backups.push(run.backup()));
  const imported = (alias: string, token: string) =>
    step(alias, async () => {
      tokens.push(token);
      await world.keeper.grants.import({
        app: world.app.id,
        alias,
        refreshToken: new Secret('refresh token', token),
        takeover: false,
      });
    });
  const counted = world.upstream.tokens.bind(world.upstream);
  world.upstream.tokens = (change) => {
    const given = counted(change);
    const pair = JSON.parse(new TextDecoder().decode(given.body)) as { refresh_token: string };
    tokens.push(pair.refresh_token);
    return given;
  };
  const used = (alias: string) => step(alias, () => run.use(alias));
  const authorized = (alias: string) => step(alias, () => run.authorize(alias));
  const over = (alias: string) =>
    step(alias, async () => ended.push((await world.keeper.grants.end(alias)).id)).then(() => newest.delete(alias));

  await imported('one', 'brought-1');
  await used('one');
  await authorized('two');
  await used('two');
  await imported('three', 'brought-3');
  await used('three');
  await authorized('one');
  await used('one');
  await over('three');
  await imported('three', 'brought-5');
  await used('two');
  await authorized('two');
  await imported('four', 'brought-4');
  await used('four');
  await over('four');
  world.atStep(undefined);
  return { run, backups, newest, ended, tokens };
}

describe('a backup of any moment of a busy run', () => {
  test.each(Object.entries(POLICIES).map(([name, policy], i) => [name, policy, i] as const))(
    'gives, with the journal, every grant its newest token, and none that was ended (%s)',
    async (name, policy, offset) => {
      const { run, backups, newest, ended, tokens } = await busyRun(policy);
      await using _ = run;
      const { world } = run;
      const journal: readonly NumberedRecord[] = [...world.journal.numbered];
      const done = new Set(world.journal.done);
      const given = new Set(tokens);
      // All classes together see each moment; the strictest sees them all.
      const every = name === 'oneTimeRevoking' ? 1 : Object.keys(POLICIES).length;
      for (let at = every === 1 ? 0 : offset; at < backups.length; at += every) {
        const backup = backups[at] ?? '';
        for (const link of world.journal.done) if (!done.has(link)) world.journal.done.delete(link);
        await run.restore(backup, journal);
        for (const alias of newest.keys()) await run.use(alias);
        // Of the tokens of before the restore, the newest ones and no other, each once.
        const presented = world.upstream.presented.filter((token) => given.has(token));
        expect(presented.toSorted(), `backup ${at}`).toEqual([...newest.values()].toSorted());
        for (const id of ended) {
          const state = await world.keeper.grants.get(id).then((grant) => grant.state, codeOf);
          expect(state, `backup ${at}, a grant that was ended`).toBe('revoked');
        }
      }
      expect(backups.length).toBeGreaterThan(60);
    },
    120_000,
  );
});
