/**
 * PgBouncer (Debian's `pgbouncer`) between a node and PostgreSQL, in transaction mode: every transaction may get
 * another connection of the server, so whatever needs a session breaks here.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, own, UNPRIVILEGED } from './postgres.ts';

export interface Pooler {
  /** The database's URL by way of the pooler. */
  readonly url: string;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export async function startPooler(databaseUrl: string): Promise<Pooler> {
  const folder = mkdtempSync(join(tmpdir(), 'evergrant-pooler-'));
  const port = await freePort();
  const file = join(folder, 'pgbouncer.ini');
  writeFileSync(file, settings(new URL(databaseUrl), port), { mode: 0o600 });
  for (const path of [folder, file]) own(path);
  const process = spawn('/usr/sbin/pgbouncer', [file], { ...UNPRIVILEGED, stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(process, 'exit');
  let log = '';
  await new Promise<void>((ready, fail) => {
    process.once('error', fail);
    process.stderr.on('data', (chunk) => {
      log += String(chunk);
      if (log.includes('process up')) ready();
    });
    process.stderr.once('end', () => fail(new Error(`PgBouncer did not start:\n${log}`)));
  });
  const url = new URL(databaseUrl);
  url.host = `127.0.0.1:${port}`;
  const close = async (): Promise<void> => {
    process.kill('SIGINT');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  return { url: url.href, close, [Symbol.asyncDispose]: close };
}

/** Connections of the server are handed out in turn, so that two transactions in a row never share one. */
function settings(server: URL, port: number): string {
  return `[databases]
* = host=${server.hostname} port=${server.port} user=${server.username} password=${server.password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
server_round_robin = 1
`;
}
