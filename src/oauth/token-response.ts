/**
 * Reading what came back from a token endpoint. The rule above all others: whatever holds a whole refresh token or
 * access token is an answer with tokens, whatever its status, content type or form, because a one-time token that is
 * not read is lost for good. Everything else is a refusal that is understood, or it is unreadable.
 *
 * Nothing here throws, whatever the bytes are, and a token that broke off is never taken for a whole one.
 */
import type { Meaning, Said } from '../core/diagnosis.ts';
import type { Instant } from '../core/instant.ts';
import { type AccessToken, type RefreshToken, Secret } from '../core/secret.ts';
import { readPointer } from './json-pointer.ts';
import { readPartialJson } from './partial-json.ts';
import { retryAfterMs } from './retry-after.ts';
import { type RawSaid, withoutSecrets } from './said.ts';

/** The answer as it came. */
export interface RawAnswer {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** False when the connection ended before the whole body had come. */
  readonly complete: boolean;
}

/** Where a provider's answers have what; every provider has it. */
export interface AnswerShape {
  readonly tokenResponse: {
    readonly accessToken: string;
    readonly refreshToken: string;
    readonly expiresIn: string;
    /** An instant, in answers that give no life. */
    readonly expiresAt?: string | null;
    readonly scope: string;
    readonly error: string;
    readonly errorDescription: string;
  };
  readonly errors: readonly KnownError[];
}

/** An answer that is recognised: every field that is given must match; the description as a prefix, in any case. */
interface KnownError {
  readonly status: number | null;
  readonly error: string | null;
  readonly description: string | null;
  /** Values at places of the body, for errors without a code of their own. */
  readonly body?: Readonly<Record<string, string | number | boolean>>;
  readonly means: Meaning;
}

export interface ReadingContext {
  readonly now: Instant;
  /** What was sent: taken out of anything the provider said, and never mistaken for something new. */
  readonly secrets: readonly Secret[];
}

export type TokenResponse =
  | {
      readonly kind: 'tokens';
      /** Null where the answer broke off before it, or had none. */
      readonly accessToken: AccessToken | null;
      /** Null where the answer names none: the one that was presented goes on (RFC 6749 section 6). */
      readonly refreshToken: RefreshToken | null;
      /** Null where the answer gives no usable life; then the provider's policy says what to expect. */
      readonly expiresInMs: number | null;
      readonly scope: string | null;
      readonly idToken: Secret<'id token'> | null;
    }
  | {
      /** The provider said no, and `means` says what that tells about the token. */
      readonly kind: 'refused';
      readonly means: Meaning;
      readonly said: Said;
      /** How long the provider asks to wait; null where it does not say. */
      readonly retryAfterMs: number | null;
    }
  | {
      /** Not an answer of a token endpoint: the request may or may not have had its effect. */
      readonly kind: 'unreadable';
      readonly reason: 'server_error' | 'unreadable_answer';
      readonly said: Said;
      readonly retryAfterMs: number | null;
    };

/** Reads an answer to a code or a refresh token. */
export function readTokenResponse(answer: RawAnswer, shape: AnswerShape, context: ReadingContext): TokenResponse {
  const document = documentOf(answer);
  const tokens = tokensOf(document, shape, context.now);
  if (tokens && !isEcho(tokens, context.secrets)) return tokens;
  const raw: RawSaid = { status: answer.status, ...errorOf(document, answer, shape) };
  const about = {
    said: withoutSecrets(raw, context.secrets),
    retryAfterMs: retryAfterMs(answer.headers['retry-after'], context.now),
  };
  const means = document.whole && !isBrokenToken(document, shape) ? meaningOf(raw, document, shape.errors) : null;
  if (means !== null) return { kind: 'refused', means, ...about };
  const reason = answer.status >= 500 || answer.status === 408 ? 'server_error' : 'unreadable_answer';
  return { kind: 'unreadable', reason, ...about };
}

/** What a body says, as a tree, and whether nothing of it is missing. */
interface Document {
  readonly value: unknown;
  readonly whole: boolean;
  readonly text: string;
}

const UTF8 = new TextDecoder();

function documentOf(answer: RawAnswer): Document {
  const text = UTF8.decode(answer.body);
  if (/^\s*[{[]/.test(text)) return { ...readPartialJson(text), text };
  const form = formOf(text.trim(), answer.complete);
  return form ? { value: form, whole: answer.complete, text } : { value: undefined, whole: answer.complete, text };
}

/** Each character fits in one way alone: to find out that a long body is none takes no longer than to read it. */
const FORM = /^[\w.-]+=[^&\s<>"{}]*(?:&[^&\s<>"{}]*)*$/;

/** A form-encoded body. Of one that broke off the last value is left out, since nothing shows that it is whole. */
function formOf(text: string, complete: boolean): Readonly<Record<string, string>> | null {
  if (!FORM.test(text)) return null;
  const whole = complete ? text : text.slice(0, Math.max(0, text.lastIndexOf('&')));
  return Object.fromEntries(new URLSearchParams(whole));
}

function tokensOf(document: Document, shape: AnswerShape, now: Instant): (TokenResponse & { kind: 'tokens' }) | null {
  const { value, whole } = document;
  const pointers = shape.tokenResponse;
  // A provider that moves its tokens to the standard place must not cost a chain.
  const refreshToken = tokenAt(value, pointers.refreshToken) ?? tokenAt(value, '/refresh_token');
  const accessToken = tokenAt(value, pointers.accessToken) ?? tokenAt(value, '/access_token');
  // Without its end, an answer that shows no refresh token may still have had one.
  if (refreshToken === null && (accessToken === null || !whole || isBrokenToken(document, shape))) return null;
  const idToken = tokenAt(value, '/id_token');
  return {
    kind: 'tokens',
    accessToken: accessToken === null ? null : new Secret('access token', accessToken),
    refreshToken: refreshToken === null ? null : new Secret('refresh token', refreshToken),
    expiresInMs: lifeOf(readPointer(value, pointers.expiresIn)) ?? lifeUntil(value, pointers.expiresAt ?? null, now),
    scope: scopeOf(readPointer(value, pointers.scope)),
    idToken: idToken === null ? null : new Secret('id token', idToken),
  };
}

const REPLACEMENT_CHARACTER = '\u{FFFD}';

/** A token at this place. Some servers send numbers; those that JSON does not round are taken as text. */
function tokenAt(value: unknown, pointer: string): string | null {
  const token = readPointer(value, pointer);
  if (typeof token === 'number' && Number.isSafeInteger(token)) return String(token);
  if (typeof token !== 'string' || token.trim() === '' || token.includes(REPLACEMENT_CHARACTER)) return null;
  return token;
}

/** Whether a refresh token is there that cannot be used as it is: damaged, or no text. */
function isBrokenToken(document: Document, shape: AnswerShape): boolean {
  const token = readPointer(document.value, shape.tokenResponse.refreshToken);
  if (token === undefined || token === null || token === false) return false;
  if (typeof token === 'string' && token.trim() === '') return false;
  return tokenAt(document.value, shape.tokenResponse.refreshToken) === null;
}

/** An error that repeats what was sent gives nothing new. */
function isEcho(tokens: TokenResponse & { kind: 'tokens' }, secrets: readonly Secret[]): boolean {
  const { accessToken, refreshToken } = tokens;
  return accessToken === null && secrets.some((secret) => secret.reveal() === refreshToken?.reveal());
}

/** A hundred years: longer lives are the same to everyone, and every instant stays one that can be written down. */
const MAX_LIFE_MS = 100 * 365 * 24 * 3600 * 1000;

/**
 * `expires_in` in milliseconds: seconds as a number, or as text (Exact Online sends "600"; seen in public clients, 2025).
 * Null for what gives no life at all: left out, nonsense, zero and less. A token that was just issued is not dead yet, so
 * such a value says nothing.
 */
function lifeOf(value: unknown): number | null {
  const seconds = typeof value === 'string' && /^\s*\d+(\.\d+)?\s*$/.test(value) ? Number(value) : value;
  if (typeof seconds !== 'number' || !(seconds > 0)) return null;
  return Math.min(Math.floor(seconds * 1000), MAX_LIFE_MS);
}

/** The life up to an instant: ISO 8601, or seconds since 1970. One that has passed says nothing, as above. */
function lifeUntil(value: unknown, pointer: string | null, now: Instant): number | null {
  const given = pointer === null ? undefined : readPointer(value, pointer);
  const isSeconds = typeof given === 'number' || (typeof given === 'string' && /^\d+$/.test(given));
  const at = isSeconds ? Number(given) * 1000 : typeof given === 'string' ? Date.parse(given) : Number.NaN;
  return at > now ? Math.min(Math.floor(at - now), MAX_LIFE_MS) : null;
}

function scopeOf(value: unknown): string | null {
  if (Array.isArray(value)) return value.filter((one) => typeof one === 'string').join(' ') || null;
  return typeof value === 'string' && value.trim() !== '' ? value : null;
}

/**
 * Error and description in the provider's words: where the provider has them, else where RFC 6749 section 5.2 does. A
 * `reason` header stands in for a body that gives no description.
 */
function errorOf(document: Document, answer: RawAnswer, shape: AnswerShape): Omit<RawSaid, 'status'> {
  const { value, text } = document;
  const error = readPointer(value, shape.tokenResponse.error) ?? readPointer(value, '/error');
  const inner = typeof error === 'object' ? error : value;
  const description =
    textAt(value, shape.tokenResponse.errorDescription) ??
    textAt(value, '/error_description') ??
    textAt(inner, '/message') ??
    textAt(inner, '/error_message') ??
    answer.headers.reason ??
    titleOf(text);
  return { error: textOf(error) ?? textAt(error, '/code') ?? textAt(error, '/type'), description };
}

function textAt(value: unknown, pointer: string): string | null {
  return textOf(readPointer(value, pointer));
}

function textOf(value: unknown): string | null {
  if (typeof value === 'number') return String(value);
  return typeof value === 'string' && value.trim() !== '' ? value : null;
}

/** The title of an HTML page, which is all that such an answer tells. */
function titleOf(text: string): string | null {
  return /^\s*</.test(text) ? (/<title>([^<]{1,200})<\/title>/i.exec(text)?.[1]?.trim() ?? null) : null;
}

/** What an error says about the token; null where it is no answer of a token endpoint. The provider's own list goes first. */
function meaningOf(said: RawSaid, document: Document, known: readonly KnownError[]): Meaning | null {
  const match = known.find((one) => matches(said, document, one));
  if (match) return match.means;
  // Servers answer 5xx to a race that they themselves lost, with any body; that decides nothing. Nor does "too early" of
  // TLS (425, RFC 8470), or a time-out on the way (408).
  if (said.status >= 500 || [408, 425].includes(said.status) || (said.status >= 300 && said.status < 400)) return null;
  if (said.status === 429) return 'throttled';
  switch (said.error) {
    case 'invalid_grant':
      return 'invalid_grant';
    case 'invalid_client':
    case 'unauthorized_client':
      return 'client_rejected';
    case 'slow_down':
      return 'throttled';
    case null:
      return null;
    default:
      // An error in so many words, whatever its code: it was not done, and what is wrong is not the token.
      return 'upstream_fault';
  }
}

function matches(said: RawSaid, document: Document, known: KnownError): boolean {
  if (known.status !== null && known.status !== said.status) return false;
  if (known.error !== null && known.error !== said.error) return false;
  const places = Object.entries(known.body ?? {});
  if (!places.every(([pointer, value]) => readPointer(document.value, pointer) === value)) return false;
  if (known.description === null) return true;
  return said.description?.toLowerCase().startsWith(known.description.toLowerCase()) ?? false;
}
