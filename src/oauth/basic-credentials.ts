/** Client id and secret in an `Authorization: Basic` header, each form-encoded first (RFC 6749 section 2.3.1). */

export interface BasicCredentials {
  readonly id: string;
  readonly secret: string;
}

const SCHEME = /^basic +([A-Za-z0-9+/]+={0,2}) *$/i;

/** Null where the header is another one or is damaged. */
export function basicCredentials(header: string): BasicCredentials | null {
  const encoded = SCHEME.exec(header)?.[1];
  if (encoded === undefined) return null;
  const text = Buffer.from(encoded, 'base64').toString('latin1');
  const colon = text.indexOf(':');
  if (colon === -1) return null;
  const [id, secret] = [decoded(text.slice(0, colon)), decoded(text.slice(colon + 1))];
  return id === null || secret === null ? null : { id, secret };
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return null;
  }
}
