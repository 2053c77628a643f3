/**
 * What crosses the wire of an emulator, as plain values: a simulator calls the handler with them, the socket server
 * translates them. How an answer is delivered (whole, cut, never) is part of it, because faults are about that.
 */
import { parseObject } from '../oauth/json.ts';

export interface EmulatorRequest {
  readonly method: string;
  /** Path and query, or a whole URL. */
  readonly url: string;
  /** Where it came over TLS. */
  readonly scheme?: 'https';
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** How the bytes of an answer reach the client. */
export type Delivery =
  | { readonly kind: 'whole' }
  /** The connection closes without a byte of an answer. */
  | { readonly kind: 'none' }
  /** Nothing comes, and the connection stays open. */
  | { readonly kind: 'hang' }
  /** Bytes that are no HTTP, then the end: what a client of TLS meets that is turned away. */
  | { readonly kind: 'alert' }
  /** The head and so many bytes of the body, then the connection ends: in order, or by a reset. */
  | { readonly kind: 'partial'; readonly bytes: number; readonly end: 'close' | 'reset' }
  /** Everything, a few bytes at a time. */
  | { readonly kind: 'drip'; readonly chunkBytes: number; readonly pauseMs: number };

export interface EmulatorAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  readonly delivery: Delivery;
  /** Nothing of it is sent before so many milliseconds have passed. */
  readonly afterMs?: number;
}

/** An answer as it is made: its body is a text, and becomes bytes once, where it leaves. */
export interface Reply extends Omit<EmulatorAnswer, 'body'> {
  readonly text: string;
}

export function answerOf({ text, ...rest }: Reply): EmulatorAnswer {
  return { ...rest, body: Buffer.from(text) };
}

export type Handler = (request: EmulatorRequest) => Promise<EmulatorAnswer>;

/** The same, but at once where nothing delays the answer. */
export type Responder = (request: EmulatorRequest) => Reply | Promise<Reply>;

const decoder = new TextDecoder();

const WHOLE: Delivery = { kind: 'whole' };

export function answer(status: number, headers: Record<string, string>, text = ''): Reply {
  return { status, headers, text, delivery: WHOLE };
}

const JSON_HEADERS = { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' };

/** JSON that was made already, so that spaces in it are kept. */
export function jsonText(status: number, text: string, headers: Record<string, string> = {}): Reply {
  return answer(status, { ...JSON_HEADERS, ...headers }, text);
}

export function json(status: number, value: unknown, headers: Record<string, string> = {}): Reply {
  return jsonText(status, JSON.stringify(value), headers);
}

export function redirect(location: string): Reply {
  return answer(302, { location, 'cache-control': 'no-store' });
}

export function bodyText(request: EmulatorRequest): string {
  return decoder.decode(request.body);
}

/** The fields of a form body; null when it is no form, or a field comes twice (RFC 6749 section 3.2). */
export function formOf(request: EmulatorRequest): ReadonlyMap<string, string> | null {
  const type = request.headers['content-type'] ?? '';
  if (!/^application\/x-www-form-urlencoded\s*(;|$)/i.test(type)) return null;
  const fields = new Map<string, string>();
  for (const pair of bodyText(request).split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = decoded(equals < 0 ? pair : pair.slice(0, equals));
    if (fields.has(name)) return null;
    fields.set(name, equals < 0 ? '' : decoded(pair.slice(equals + 1)));
  }
  return fields;
}

/** From the first escape to the last. What is no escape is left to those who know how (URL Standard, section 5.1). */
function decoded(text: string): string {
  const spaced = text.includes('+') ? text.replaceAll('+', ' ') : text;
  const start = spaced.indexOf('%');
  if (start < 0) return spaced;
  const end = spaced.lastIndexOf('%') + 3;
  try {
    return spaced.slice(0, start) + decodeURIComponent(spaced.slice(start, end)) + spaced.slice(end);
  } catch {
    return new URLSearchParams(`v=${text}`).get('v') ?? '';
  }
}

/** The members of a JSON body that are texts; null when it is no JSON object. */
export function jsonFieldsOf(request: EmulatorRequest): ReadonlyMap<string, string> | null {
  if (!/^application\/json\s*(;|$)/i.test(request.headers['content-type'] ?? '')) return null;
  const body = parseObject(bodyText(request));
  if (!body || Array.isArray(body)) return null;
  const texts = Object.entries(body).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  return new Map(texts);
}

const NOWHERE = 'http://localhost/';

/** The path and query of a request, whether or not it names a host. What is no address is taken for the root. */
export function urlOf(request: EmulatorRequest): URL {
  return new URL(URL.canParse(request.url, NOWHERE) ? request.url : NOWHERE, NOWHERE);
}

/** The path alone; most requests name a plain one. */
export function pathOf(request: EmulatorRequest): string {
  const plain = /^(\/[\w/-][\w./-]*)(?:\?|$)/.exec(request.url)?.[1];
  return plain === undefined || plain.includes('/.') || plain.startsWith('//') ? urlOf(request).pathname : plain;
}

/** Where this server is, as the request calls it. */
export function originOf(request: EmulatorRequest): string {
  return `${request.scheme ?? 'http'}://${request.headers.host ?? 'localhost'}`;
}

/** The token of `Authorization: Bearer …` (RFC 6750 section 2.1). */
export function bearerOf(request: EmulatorRequest): string | null {
  return /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? null;
}
