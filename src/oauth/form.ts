/**
 * The parameters of a request to an authorization server (RFC 6749 section 3.2, appendix B): read strictly, because what
 * two readers read differently is where tricks live. A parameter without a value counts as left out; a repeated one, a
 * control character and what is not UTF-8 are refused.
 */
import { invalidRequest } from './oauth-error.ts';

export type Parameters = ReadonlyMap<string, string>;

/** No request has more by far. */
const MOST_PARAMETERS = 64;
const CONTROL = /\p{Cc}/u;

/** The media type that a form must be declared as. */
export function isForm(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/x-www-form-urlencoded *(?:;|$)/i.test(contentType);
}

export function readForm(bytes: Uint8Array): Parameters {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw invalidRequest('The body is not UTF-8.');
  }
  return readParameters(text);
}

/** Of a form, or of the query of a URL. */
export function readParameters(text: string): Parameters {
  const read = new Map<string, string>();
  const seen = new Set<string>();
  for (const pair of text === '' ? [] : text.split('&')) {
    if (seen.size === MOST_PARAMETERS) throw invalidRequest('There are too many parameters.');
    const end = pair.indexOf('=');
    const name = decoded(end === -1 ? pair : pair.slice(0, end));
    const value = decoded(end === -1 ? '' : pair.slice(end + 1));
    if (seen.has(name)) throw invalidRequest('A parameter is there more than once.');
    seen.add(name);
    if (value !== '') read.set(name, value);
  }
  return read;
}

function decoded(text: string): string {
  let plain: string;
  try {
    plain = decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw invalidRequest('A parameter is not percent-encoded UTF-8.');
  }
  if (CONTROL.test(plain)) throw invalidRequest('A parameter has a control character.');
  return plain;
}
