/**
 * The claims of an id_token that came straight from the token endpoint. Its signature is not checked: over TLS from the
 * endpoint itself, the server's certificate stands in for it (OpenID Connect Core 1.0 section 3.1.3.7 point 6). So an
 * id_token from anywhere else, a browser above all, must never be read with this.
 */
import { parseObject, textOf } from './json.ts';

export interface IdTokenClaims {
  readonly sub: string;
  readonly iss: string | null;
  readonly aud: readonly string[];
  readonly nonce: string | null;
  readonly preferredUsername: string | null;
  readonly email: string | null;
  readonly name: string | null;
}

/** Null for anything that is not a JWT (RFC 7519) with a subject. Never throws. */
export function readIdToken(idToken: string): IdTokenClaims | null {
  const [, payload, ...rest] = idToken.split('.');
  if (payload === undefined || rest.length === 0) return null;
  const claims = parseObject(Buffer.from(payload, 'base64url').toString());
  const sub = textOf(claims?.sub);
  if (!claims || sub === null) return null;
  return {
    sub,
    iss: textOf(claims.iss),
    aud: [claims.aud].flat().filter((one) => typeof one === 'string'),
    nonce: textOf(claims.nonce),
    preferredUsername: textOf(claims.preferred_username),
    email: textOf(claims.email),
    name: textOf(claims.name),
  };
}
