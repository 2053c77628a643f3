/** The real server of Evergrant as a process of its own, its API and its command line, as the user meets them. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

const MAIN = join(import.meta.dirname, '../../../src/cli/main.ts');
const READY_WITHIN_MS = 30_000;

export type Json = Readonly<Record<string, unknown>>;

export interface Answer {
  readonly status: number;
  readonly body: Json;
}

export class EvergrantProcess {
  readonly url: string;
  readonly #data: string;
  readonly #providers: string;
  readonly #commands = new Set<ChildProcess>();
  #server: ChildProcess | null = null;
  #said = '';

  constructor(port: number, data: string, providers: string) {
    this.url = `http://127.0.0.1:${port}`;
    this.#data = data;
    this.#providers = providers;
  }

  /** Everything that the server wrote to stderr, over all its runs. */
  get log(): string {
    return this.#said;
  }

  async start(): Promise<void> {
    const words = ['serve', '--listen', new URL(this.url).host, '--data', this.#data, '--providers', this.#providers];
    const server = spawn(process.execPath, [MAIN, ...words], { stdio: ['ignore', 'ignore', 'pipe'], env: bareEnv() });
    this.#server = server;
    server.stderr.on('data', (part: Buffer) => {
      this.#said += part.toString();
    });
    await until('the server is ready', READY_WITHIN_MS, async () => {
      if (server.exitCode !== null) throw new Error(`The server ended with ${server.exitCode}: ${this.#said}`);
      const ready = await fetch(`${this.url}/readyz`).catch(() => null);
      await ready?.arrayBuffer();
      return ready?.status === 200;
    });
  }

  /** Ends the server with no chance to say anything more. */
  async kill(): Promise<void> {
    const server = this.#server;
    if (!server || server.exitCode !== null || server.signalCode !== null) return;
    const ended = once(server, 'exit');
    server.kill('SIGKILL');
    await ended;
  }

  async end(): Promise<void> {
    for (const command of this.#commands) command.kill('SIGKILL');
    await this.kill();
  }

  async call(method: 'GET' | 'POST' | 'DELETE', path: string, body?: Json): Promise<Answer> {
    const key = (await readFile(join(this.#data, 'admin.key'), 'utf8')).trim();
    const answer = await fetch(`${this.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${key}`, ...(body ? { 'content-type': 'application/json' } : {}) },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const text = await answer.text();
    return { status: answer.status, body: text === '' ? {} : (JSON.parse(text) as Json) };
  }

  /** A command of `evergrant` against this server, from a terminal without one. */
  command(words: readonly string[], env: Readonly<Record<string, string>> = {}): Command {
    const child = spawn(process.execPath, [MAIN, ...words, '--server', this.url, '--data', this.#data], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...bareEnv(), ...env },
    });
    this.#commands.add(child);
    child.once('close', () => this.#commands.delete(child));
    return new Command(child);
  }
}

export class Command {
  readonly #child: ChildProcess;
  readonly #closed: Promise<number | null>;
  out = '';
  said = '';

  constructor(child: ChildProcess) {
    this.#child = child;
    this.#closed = once(child, 'close').then(([code]) => code as number | null);
    child.stdout?.on('data', (part: Buffer) => {
      this.out += part.toString();
    });
    child.stderr?.on('data', (part: Buffer) => {
      this.said += part.toString();
    });
  }

  /** The first match in what was said to the person so far. */
  async saying(pattern: RegExp): Promise<string> {
    let found: string | undefined;
    await until(`the command says ${pattern.source}`, READY_WITHIN_MS, async () => {
      found = pattern.exec(this.said)?.[0];
      if (found === undefined && this.#child.exitCode !== null) throw new Error(`It ended: ${this.said}`);
      return found !== undefined;
    });
    return found ?? '';
  }

  /** A line on its stdin, which stays open as a terminal would. */
  type(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  async end(): Promise<number | null> {
    return this.#closed;
  }
}

/** Without settings of whoever runs the tests. */
function bareEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('EVERGRANT_')));
}

export async function until(what: string, withinMs: number, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`Waited ${withinMs} ms in vain until ${what}.`);
    await pause(25);
  }
}

export async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const address = probe.address();
  await new Promise<void>((resolve) => {
    probe.close(() => resolve());
  });
  if (typeof address !== 'object' || address === null) throw new Error('no free port');
  return address.port;
}
