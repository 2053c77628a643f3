/**
 * A real PostgreSQL server for tests: one process on a free port of loopback, with its files in a temporary folder,
 * `fsync` on and a password. It ends with the process that started it, however that ends.
 *
 * The binaries are those of Debian's `postgresql` (the newest there), of `POSTGRES_BIN` (a folder), or on the PATH.
 *
 * States: running ⇄ paused (SIGSTOP), running ⇄ stopped, and closed at last.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chownSync, existsSync, globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';

/** How a server stops. `fast`: as an operator does it; `immediate`: as after a loss of power, it recovers later. */
export type Stop = 'fast' | 'immediate';

export interface TestPostgres {
  /** Of the database `postgres`, as its superuser. */
  readonly url: string;
  readonly port: number;
  /** Makes an empty database, and gives its URL. */
  freshDatabase(): Promise<string>;
  stop(how?: Stop): Promise<void>;
  /** On the same port and files. */
  start(): Promise<void>;
  restart(how?: Stop): Promise<void>;
  /** Starts it again as a standby, which can be read and not be written to; `promote` makes it a primary. */
  demote(): Promise<void>;
  promote(): Promise<void>;
  /** Freezes all its processes: connections stay, and nothing is answered any more. */
  pause(): void;
  resume(): void;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Settings of the server (`postgresql.conf`) that a test wants otherwise. */
export type ServerSettings = Readonly<Record<string, string>>;

export async function startPostgres(settings: ServerSettings = {}): Promise<TestPostgres> {
  const folder = mkdtempSync(join(tmpdir(), 'evergrant-postgres-'));
  own(folder);
  const password = randomBytes(12).toString('hex');
  makeCluster(folder, password);
  const port = await freePort();
  const server = new Server(folder, port, settings, `postgres://postgres:${password}@127.0.0.1:${port}/postgres`);
  await server.start();
  return server;
}

/** PostgreSQL refuses to run as root. */
const NOBODY = 65534;
export const UNPRIVILEGED = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};

/** Gives a path to the user that the servers run as. */
export function own(path: string): void {
  if (UNPRIVILEGED.uid !== undefined) chownSync(path, UNPRIVILEGED.uid, UNPRIVILEGED.gid);
}

class Server implements TestPostgres {
  readonly url: string;
  readonly port: number;
  readonly #folder: string;
  readonly #settings: ServerSettings;
  #running: { readonly shell: ChildProcess; readonly postmaster: number } | null = null;
  #databases = 0;

  constructor(folder: string, port: number, settings: ServerSettings, url: string) {
    this.#folder = folder;
    this.port = port;
    this.#settings = settings;
    this.url = url;
  }

  async start(): Promise<void> {
    if (this.#running) return;
    const settings = { ...SETTINGS, port: String(this.port), ...this.#settings };
    const words = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const postgres = [join(binaries(), 'postgres'), '-D', this.#folder, ...words];
    const shell = spawn('sh', ['-c', KEEPER, 'sh', ...postgres], {
      ...UNPRIVILEGED,
      cwd: '/',
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH, LC_ALL: 'C' },
    });
    this.#running = { shell, postmaster: await whenReady(shell) };
  }

  async stop(how: Stop = 'fast'): Promise<void> {
    if (!this.#running) return;
    const { shell } = this.#running;
    const ended = once(shell, 'exit');
    shell.stdin?.end(`${how === 'fast' ? 'INT' : 'QUIT'}\n`);
    await ended;
    this.#running = null;
  }

  async restart(how?: Stop): Promise<void> {
    await this.stop(how);
    await this.start();
  }

  async demote(): Promise<void> {
    await this.stop();
    writeFileSync(join(this.#folder, 'standby.signal'), '');
    await this.start();
  }

  async promote(): Promise<void> {
    await this.#run('SELECT pg_promote()');
  }

  pause(): void {
    if (!this.#running) throw new Error('The server is stopped, so it cannot be paused');
    // The postmaster first: it could make another process meanwhile.
    const { postmaster } = this.#running;
    for (const pid of [postmaster, ...childrenOf(postmaster)]) signal(pid, 'SIGSTOP');
  }

  resume(): void {
    if (!this.#running) return;
    const { postmaster } = this.#running;
    for (const pid of [...childrenOf(postmaster), postmaster]) signal(pid, 'SIGCONT');
  }

  async freshDatabase(): Promise<string> {
    this.#databases += 1;
    const name = `test_${process.pid}_${this.#databases}`;
    await this.#run(`CREATE DATABASE ${name}`);
    return this.url.replace(/\/postgres$/, `/${name}`);
  }

  async close(): Promise<void> {
    this.resume();
    await this.stop('immediate');
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #run(sql: string): Promise<void> {
    const client = new pg.Client({ connectionString: this.url });
    await client.connect();
    try {
      await client.query(sql);
    } finally {
      await client.end();
    }
  }
}

const SETTINGS: ServerSettings = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  fsync: 'on',
  max_connections: '100',
  shared_buffers: '64MB',
  log_min_messages: 'log',
};

/** Stops the server as told on its input, and at once where that ends without a word: its owner is gone. */
const KEEPER = `"$@" & echo $!
read how || how=QUIT
kill -CONT $!; kill -$how $!; wait $!`;

function makeCluster(folder: string, password: string): void {
  const file = join(folder, '..', `${folder.split('/').at(-1)}.password`);
  writeFileSync(file, `${password}\n`, { mode: 0o600 });
  own(file);
  const words = ['-D', folder, '-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${file}`, '-E', 'UTF8', '--locale=C'];
  try {
    const { status, stderr, error } = spawnSync(join(binaries(), 'initdb'), [...words, '--no-sync'], {
      ...UNPRIVILEGED,
      cwd: '/',
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`initdb failed: ${error?.message ?? stderr}`);
  } finally {
    rmSync(file);
  }
}

function binaries(): string {
  if (process.env.POSTGRES_BIN) return process.env.POSTGRES_BIN;
  const [newest] = globSync('/usr/lib/postgresql/*/bin').toSorted((a, b) => versionIn(b) - versionIn(a));
  const onPath = (process.env.PATH ?? '').split(':').find((folder) => existsSync(join(folder, 'initdb')));
  const found = newest ?? onPath;
  if (found === undefined) throw new Error('There is no PostgreSQL here: apt-get install postgresql');
  return found;
}

function versionIn(path: string): number {
  return Number(/\d+/.exec(path)?.[0]);
}

/** Resolves with the postmaster's process id once it takes connections. */
async function whenReady(shell: ChildProcess): Promise<number> {
  let [out, log] = ['', ''];
  shell.stdout?.on('data', (chunk) => (out += String(chunk)));
  await new Promise<void>((ready, fail) => {
    shell.stderr?.on('data', (chunk) => {
      log = `${log}${String(chunk)}`.slice(-10_000);
      if (/ready to accept (?:read-only )?connections/.test(log)) ready();
    });
    // The shell waits for a word; a server that ends early closes the log.
    shell.stderr?.once('end', () => fail(new Error(`PostgreSQL did not start:\n${log}`)));
    shell.once('error', fail);
  }).catch((error: unknown) => {
    shell.stdin?.end();
    throw error;
  });
  return Number(out.trim());
}

function childrenOf(parent: number): readonly number[] {
  const { stdout } = spawnSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' });
  const rows = stdout.trim().split('\n');
  return rows
    .map((row) => row.trim().split(/\s+/).map(Number))
    .flatMap(([pid, of]) => (of === parent && pid ? [pid] : []));
}

/** A process that ended meanwhile needs none. */
function signal(pid: number, name: 'SIGSTOP' | 'SIGCONT'): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  if (typeof address !== 'object' || !address) throw new Error('There is no free port');
  return address.port;
}
