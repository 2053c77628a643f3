/**
 * What the provider sent back through the browser (RFC 6749 sections 4.1.2 and 4.1.2.1, RFC 9207): the query of the
 * callback, or the whole address as a person pasted it.
 */
import { EvergrantError } from '../core/errors.ts';
import { Secret } from '../core/secret.ts';

export interface AuthorizationResponse {
  readonly state: string | null;
  readonly code: Secret<'authorization code'> | null;
  readonly error: string | null;
  readonly errorDescription: string | null;
  /** The issuer that answers, against mix-up (RFC 9207). */
  readonly iss: string | null;
}

/**
 * Reads the raw query of a callback, with or without its question mark. Values are decoded exactly once: codes of Exact
 * Online hold an encoded `!`, and decoding twice or not at all breaks the exchange.
 * Throws `invalid_request` where a parameter comes twice (RFC 6749 section 3.1).
 */
export function readAuthorizationResponse(query: string): AuthorizationResponse {
  const parameters = new URLSearchParams(query);
  const code = once(parameters, 'code');
  return {
    state: once(parameters, 'state'),
    code: code === null ? null : new Secret('authorization code', code),
    error: once(parameters, 'error'),
    errorDescription: once(parameters, 'error_description'),
    iss: once(parameters, 'iss'),
  };
}

/**
 * Reads a pasted return address. Line breaks and quotes that mail and terminals add are taken away; an address whose
 * parameters stand after `#` is read as well. Throws `invalid_request` where it holds neither a code nor an error.
 */
export function readReturnUrl(pasted: string): AuthorizationResponse {
  const text = pasted.replaceAll(/[\s<>"'`]/g, '').replaceAll('&amp;', '&');
  const [beforeFragment = '', fragment = ''] = splitAt(text, '#');
  const [, query = ''] = splitAt(beforeFragment, '?');
  for (const candidate of [query, fragment]) {
    const response = readAuthorizationResponse(candidate);
    if (response.code !== null || response.error !== null) return response;
  }
  throw new EvergrantError('invalid_request', 'The pasted text is not a return address: it has no code in it.', {
    remedy: 'Paste the whole address that the browser shows at the end, from https:// on.',
  });
}

function once(parameters: URLSearchParams, name: string): string | null {
  const values = parameters.getAll(name);
  if (values.length > 1) {
    throw new EvergrantError('invalid_request', `The answer of the provider has "${name}" more than once.`, {
      remedy: 'Start the authorization again.',
    });
  }
  return values[0] || null;
}

function splitAt(text: string, mark: string): readonly string[] {
  const at = text.indexOf(mark);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + mark.length)];
}
