/** Leaving while the server runs: the real commands beside a real server, on a PostgreSQL database that they share. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { evergrant, scratch, serving } from '../support/fake-api.ts';
import { startPostgres } from '../support/postgres.ts';

const PROVIDER = {
  id: 'mine',
  name: 'Mine',
  authorization_endpoint: 'http://127.0.0.1:9/a',
  token_endpoint: 'http://127.0.0.1:9/t',
  token_endpoint_auth_methods: ['client_secret_post'],
  policy: { rotate: { mode: 'always' }, life: { access_token: 3600 } },
};
const GRANT = { provider: 'mine', client_id: 'c', client_secret: 's', access_token: 'at', expires_in: 3600 };
const LINES = [
  { ...GRANT, alias: 'goes', refresh_token: 'rt-goes', access_token: 'at-goes' },
  { ...GRANT, alias: 'stays', refresh_token: 'rt-stays', access_token: 'at-stays' },
];

test('an export beside a running node ends the grant for that node too, and leaves the others to it', async () => {
  const postgres = await startPostgres();
  try {
    using folder = scratch();
    const at = (name: string) => join(folder.path, name);
    mkdirSync(at('providers'));
    writeFileSync(at('providers/mine.json'), JSON.stringify(PROVIDER));
    writeFileSync(at('root.key'), Buffer.alloc(32, 7).toString('base64'), { mode: 0o600 });
    writeFileSync(at('lines'), LINES.map((line) => JSON.stringify(line)).join('\n'), { mode: 0o600 });
    const settings = [
      `database-url: ${await postgres.freshDatabase()}`,
      'root-key-file: root.key',
      'providers: providers',
    ];
    writeFileSync(at('evergrant.yaml'), settings.join('\n'));
    const node = await serving(folder.path);
    const asked = (...words: string[]) => evergrant([...words, '--server', node.url], { cwd: folder.path });
    expect(await asked('import', 'lines', '--no-takeover')).toMatchObject({ exit: 0 });
    expect((await asked('token', 'goes')).out).toBe('at-goes\n');

    const passphrase = { EVERGRANT_EXPORT_PASSPHRASE: 'a long passphrase' };
    const leave = (data: string) =>
      evergrant(['export', 'out', '--i-understand', '--grant', 'goes', '--data', data, '--listen', '127.0.0.1:0'], {
        cwd: folder.path,
        env: passphrase,
      });
    const beside = await leave('data');
    expect(beside.exit).toBe(78);
    expect(beside.err).toContain('Give the export a data folder of its own');
    expect(await leave('leaving')).toMatchObject({ exit: 0, out: 'goes  exported, and ended here\n' });

    await expect.poll(async () => (await asked('token', 'goes')).exit, { timeout: 60_000 }).toBe(1);
    expect((await asked('token', 'stays')).out).toBe('at-stays\n');
    expect(await node.stop('SIGTERM')).toBe(0);
  } finally {
    await postgres.close();
  }
});
