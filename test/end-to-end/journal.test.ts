/** The journal of a data folder as an operator meets it: with the real command, real files and a database that is gone. */
import { copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { evergrant, scratch } from '../support/fake-api.ts';

// Every test starts processes, and a busy machine takes its time.
vi.setConfig({ testTimeout: 120_000 });

const KEY = Buffer.alloc(32, 1).toString('base64');
const OTHER_KEY = Buffer.alloc(32, 2).toString('base64');

/** A folder in which commands run, each starting the server by itself on the data folder that is named. */
function place() {
  const folder = scratch();
  const run = (words: string, rootKey = KEY) => {
    const env = { EVERGRANT_LISTEN: '127.0.0.1:0', EVERGRANT_ROOT_KEY: rootKey };
    return evergrant(words.split(' '), { cwd: folder.path, env });
  };
  return {
    run,
    path: (...names: string[]) => join(folder.path, ...names),
    async json(words: string) {
      const ran = await run(`${words} --json`);
      expect(ran, ran.err).toMatchObject({ exit: 0 });
      return ran.out
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    },
    async importInto(data: string, alias: string): Promise<void> {
      const line = {
        alias,
        provider: 'exact-online',
        client_id: 'c',
        client_secret: 's',
        refresh_token: `rt-${alias}`,
      };
      const file = join(folder.path, `${alias}.jsonl`);
      writeFileSync(file, JSON.stringify(line), { mode: 0o600 });
      expect(await run(`import ${file} --no-takeover --data ${data}`)).toMatchObject({ exit: 0 });
    },
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

const journalFiles = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.journal'))
    .map((name) => `${name} ${readFileSync(join(folder, name), 'latin1')}`);

describe('a data folder whose database was lost or restored', () => {
  test('gets the grants back that were made since, from its journal', async () => {
    using at = place();
    await at.importInto('data', 'one');
    copyFileSync(at.path('data', 'evergrant.db'), at.path('backup.db'));
    await at.importInto('data', 'two');
    for (const restore of [
      () => copyFileSync(at.path('backup.db'), at.path('data', 'evergrant.db')),
      () => undefined,
    ]) {
      for (const end of ['', '-wal', '-shm']) rmSync(at.path('data', `evergrant.db${end}`), { force: true });
      restore();
      const grants = await at.json('grants list --data data');
      expect(grants.map(({ alias, state }) => `${String(alias)} ${String(state)}`).toSorted()).toEqual([
        'one active',
        'two active',
      ]);
    }
  });

  test('is not opened with another root key, and its journal is left as it is [S33]', async () => {
    using at = place();
    await at.importInto('data', 'one');
    for (const end of ['', '-wal', '-shm']) rmSync(at.path('data', `evergrant.db${end}`), { force: true });
    const before = journalFiles(at.path('data', 'journal'));
    const ran = await at.run('grants list --data data', OTHER_KEY);
    expect(ran).toMatchObject({ exit: 78, out: '' });
    expect(ran.err).toContain('root key');
    expect(journalFiles(at.path('data', 'journal'))).toEqual(before);
    // Nothing was made with the wrong key, so the right one opens it.
    expect((await at.json('grants list --data data')).map(({ alias }) => alias)).toEqual(['one']);
  });
});

describe('evergrant journal', () => {
  test('status tells of this node and all others', async () => {
    using at = place();
    await at.importInto('data', 'one');
    const [status] = await at.json('journal status --data data');
    expect(status).toMatchObject({
      restoring: false,
      journal: { last: 1, settled_up_to: 1, told: 1, unsettled: 0 },
      nodes: [{ id: status?.node, here: true, merged: 1, given_up: false, awaited: false, grants: 0 }],
    });
    const shown = await at.run('journal status --data data');
    expect(shown.exit).toBe(0);
    expect(shown.out).toContain('GRANTS THAT WAIT');
  });

  test('merge brings the grants of another folder in, and changes nothing there', async () => {
    using at = place();
    await at.importInto('other', 'one');
    await at.importInto('other', 'two');
    const before = journalFiles(at.path('other', 'journal'));
    const [merged] = await at.json('journal merge other --data data');
    expect(merged).toMatchObject({ records: 2, brought: 2, unreadable: 0, complete: true });
    const aliases = (await at.json('grants list --data data')).map(({ alias }) => String(alias));
    expect(aliases.toSorted()).toEqual(['one', 'two']);
    expect(journalFiles(at.path('other', 'journal'))).toEqual(before);
    // Also by the folder "journal" itself, and again.
    expect(await at.run('journal merge other/journal --data data')).toMatchObject({ exit: 0 });
    expect(await at.json('grants list --data data')).toHaveLength(2);
  });

  test('merge refuses what another root key sealed, and a folder without a journal', async () => {
    using at = place();
    await at.importInto('other', 'one');
    const ran = await at.run('journal merge other --data data', OTHER_KEY);
    expect(ran).toMatchObject({ exit: 2, out: '' });
    expect(ran.err).toContain('another root key');
    expect(await at.run('journal merge nowhere --data data')).toMatchObject({ exit: 2, out: '' });
  });

  test('abandon wants to be understood, a node that is known, and one that is gone', async () => {
    using at = place();
    const [status] = await at.json('journal status --data data');
    expect(await at.run('journal abandon node-x --data data')).toMatchObject({ exit: 2, out: '' });
    expect(await at.run('journal abandon node-x --i-understand --data data')).toMatchObject({ exit: 1, out: '' });
    const own = await at.run(`journal abandon ${String(status?.node)} --i-understand --data data`);
    expect(own).toMatchObject({ exit: 1, out: '' });
    expect(own.err).toContain('is running');
    writeFileSync(at.path('data', 'node.id'), 'another-node\n');
    const gone = await at.run(`journal abandon ${String(status?.node)} --i-understand --data data --json`);
    expect(gone).toMatchObject({ exit: 0 });
    expect(JSON.parse(gone.out)).toEqual({ node: status?.node, grants: [], after_restore: false });
  });
});
