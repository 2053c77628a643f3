/**
 * What a grant without refresh tokens holds instead. It lies sealed where a chain has its first refresh token, and like
 * one it is what is presented to get an access token; only that it is good for any number of times.
 */
import type { Scheme } from '../../catalogue/provider.ts';
import type { GrantId } from '../../core/id.ts';
import { type RefreshToken, Secret } from '../../core/secret.ts';

/** As it is given by people; which of it there must be depends on the scheme. */
export interface Credentials {
  readonly username?: string;
  readonly password?: Secret<'password'>;
  readonly apiKey?: Secret<'api key'>;
  /** Of `jwt_bearer`: for whom the app acts; left out: for itself. */
  readonly subject?: string;
}

interface KeptCredential {
  /** So that no two grants hold the same text. */
  readonly grant: GrantId;
  readonly scheme: Scheme;
  readonly scope: readonly string[];
  readonly username?: string;
  readonly password?: string;
  readonly apiKey?: string;
  readonly subject?: string;
}

export function credentialText(
  { id, scope }: { readonly id: GrantId; readonly scope: readonly string[] },
  scheme: Scheme,
  { username, password, apiKey, subject }: Credentials,
): RefreshToken {
  const kept: KeptCredential = {
    grant: id,
    scheme,
    scope,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password: password.reveal() }),
    ...(apiKey === undefined ? {} : { apiKey: apiKey.reveal() }),
    ...(subject === undefined ? {} : { subject }),
  };
  return new Secret('refresh token', JSON.stringify(kept));
}

export function credentialIn(text: RefreshToken): KeptCredential {
  return JSON.parse(text.reveal()) as KeptCredential;
}

/** What of it must be taken out of whatever the provider says. */
export function secretsIn(text: RefreshToken): readonly Secret[] {
  const { password, apiKey } = credentialIn(text);
  const secrets = [password, apiKey].filter((one) => one !== undefined);
  return secrets.map((one) => new Secret('password', one));
}
