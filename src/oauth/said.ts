/**
 * What a provider said, made fit to be stored and shown: never a token. Known secrets are taken out first, then
 * whatever looks like one, for a server may put into an error text what nobody here has seen yet.
 */
import type { Said } from '../core/diagnosis.ts';
import type { Secret } from '../core/secret.ts';

const MAX_DESCRIPTION = 300;
const MAX_ERROR = 100;
/** Shorter texts are words; taking them out would only make the description unreadable. */
const MIN_SECRET = 6;
/** A run of characters as tokens have them; the ids that support desks ask for (36 characters) are shorter. */
const LOOKS_LIKE_A_TOKEN = /[A-Za-z0-9_\-.~+/=!%]{40,}/g;

/** What the answer said in its own words, before anything is taken out; not to be stored or shown. */
export interface RawSaid {
  readonly status: number;
  readonly error: string | null;
  readonly description: string | null;
}

/** The same without secrets, line breaks and control characters, and cut to a length that fits a page. */
export function withoutSecrets(said: RawSaid, secrets: readonly Secret[]): Said {
  return {
    status: said.status,
    error: said.error && shorten(clean(said.error, secrets), MAX_ERROR),
    description: said.description && shorten(clean(said.description, secrets), MAX_DESCRIPTION),
  };
}

function clean(text: string, secrets: readonly Secret[]): string {
  const known = secrets.flatMap((secret) => spellingsOf(secret).map((spelling) => ({ spelling, secret })));
  const hidden = known.reduce((rest, { spelling, secret }) => rest.replaceAll(spelling, String(secret)), text);
  return hidden
    .replace(LOOKS_LIKE_A_TOKEN, '[long value]')
    .replace(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ')
    .trim();
}

/** As it is, and as it stands in a URL or a form. */
function spellingsOf(secret: Secret): readonly string[] {
  const text = secret.reveal();
  if (text.length < MIN_SECRET) return [];
  return [text, new URLSearchParams({ x: text }).toString().slice('x='.length), escapedInJson(text)];
}

function escapedInJson(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

function shorten(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
