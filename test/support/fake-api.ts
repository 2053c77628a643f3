/** For tests: an API on loopback that answers what it is told, and the real command run against it. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Asked {
  readonly method: string;
  readonly url: string;
  readonly authorization: string | undefined;
  readonly body: unknown;
}

export interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  readonly text?: string;
}

/** `GET /v1/apps` (without the query) to its answer; a function may answer each time anew. */
export type Script = Readonly<Record<string, Answer | ((asked: Asked) => Answer)>>;

export interface FakeApi {
  readonly origin: string;
  readonly asked: readonly Asked[];
  [Symbol.asyncDispose](): Promise<void>;
}

export async function fakeApi(script: Script): Promise<FakeApi> {
  const asked: Asked[] = [];
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks = await Array.fromAsync(request, (chunk: Buffer) => chunk);
    const body = Buffer.concat(chunks).toString();
    const { method = '', url = '', headers } = request;
    const one = { method, url, authorization: headers.authorization, body: body === '' ? null : parse(body) };
    asked.push(one);
    const found = script[`${method} ${url.split('?')[0]}`] ?? { status: 404, json: problem(404, 'not_found') };
    const { status = 200, headers: more, json, text } = typeof found === 'function' ? found(one) : found;
    response.writeHead(status, { 'content-type': 'application/json', ...more });
    response.end(text ?? (json === undefined ? '' : JSON.stringify(json)));
  };
  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return { origin: originOf(server), asked, [Symbol.asyncDispose]: () => close(server) };
}

function parse(text: string): unknown {
  return JSON.parse(text);
}

function originOf(server: Server): string {
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('not listening');
  return `http://127.0.0.1:${address.port}`;
}

function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => {
    server.close(() => resolve());
  });
}

export function problem(status: number, code: string, more: object = {}): object {
  return { type: 'about:blank', status, code, title: code, detail: `It is ${code}.`, remedy: `Mend ${code}.`, ...more };
}

export interface Ran {
  readonly exit: number | null;
  readonly out: string;
  readonly err: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  readonly cwd?: string;
}

/** An empty folder that goes away. */
export function scratch(): { readonly path: string; [Symbol.dispose](): void } {
  const path = mkdtempSync(join(tmpdir(), 'evergrant-cli-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** A process of the real command, with no variable of this one. */
function start(words: readonly string[], cwd: string, env: Readonly<Record<string, string>> = {}) {
  const bin = join(import.meta.dirname, '../../bin/evergrant.js');
  const child = spawn(process.execPath, [bin, ...words], { cwd, env: { PATH: process.env.PATH ?? '', ...env } });
  const said = { out: '', err: '' };
  child.stdout.on('data', (chunk: Buffer) => {
    said.out += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    said.err += chunk.toString();
  });
  const exited = new Promise<number | null>((resolve) => {
    child.on('close', resolve);
  });
  return { child, said, exited };
}

/** Runs `evergrant …` to its end, in an empty folder where none is given. */
export async function evergrant(words: readonly string[], options: RunOptions = {}): Promise<Ran> {
  using folder = scratch();
  const { child, said, exited } = start(words, options.cwd ?? folder.path, options.env);
  child.stdin.end(options.stdin ?? '');
  return { exit: await exited, ...said };
}

export interface Serving {
  readonly url: string;
  readonly said: { readonly out: string; readonly err: string };
  /** Sends the signal; gives the exit code. */
  stop(signal: NodeJS.Signals): Promise<number | null>;
}

/** Runs `evergrant serve` in this folder until it is ready. */
export async function serving(cwd: string): Promise<Serving> {
  const { child, said, exited } = start(['serve', '--listen', '127.0.0.1:0', '--json'], cwd);
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    child.once('close', () => reject(new Error(`serve ended: ${said.err}`)));
  });
  const ready: unknown = JSON.parse(said.out);
  const stop = (signal: NodeJS.Signals): Promise<number | null> => {
    child.kill(signal);
    return exited;
  };
  return { url: String(Reflect.get(Object(ready), 'url')), said, stop };
}
