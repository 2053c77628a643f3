/** Reading kept answers: from the wire with the provider's eyes, from an import as they were brought. */
import type { ResolvedProvider } from '../catalogue/provider.ts';
import type { Instant } from '../core/instant.ts';
import { type AccessToken, type RefreshToken, Secret } from '../core/secret.ts';
import { readTokenResponse, type TokenResponse } from '../oauth/token-response.ts';
import type { KeptAnswer } from './answers.ts';

/** `secrets`: what was sent; it is taken out of whatever the provider said, and never mistaken for something new. */
export function readAnswer(
  answer: KeptAnswer,
  provider: ResolvedProvider,
  now: Instant,
  secrets: readonly Secret[],
): TokenResponse {
  if (answer.from === 'wire') return readTokenResponse(answer, provider, { now, secrets });
  return {
    kind: 'tokens',
    accessToken: answer.accessToken === null ? null : new Secret('access token', answer.accessToken),
    refreshToken: new Secret('refresh token', answer.refreshToken),
    expiresInMs: null,
    scope: null,
    idToken: null,
  };
}

/** The tokens of an answer that is known to have some. */
export function tokensOf(
  answer: KeptAnswer,
  provider: ResolvedProvider,
  now: Instant,
): { readonly accessToken: AccessToken | null; readonly refreshToken: RefreshToken | null } {
  const reading = readAnswer(answer, provider, now, []);
  return reading.kind === 'tokens' ? reading : { accessToken: null, refreshToken: null };
}
