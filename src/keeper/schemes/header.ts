/**
 * Credentials that go to a provider's API as they are. They are read once and then kept in memory, until the grant is
 * given other ones or ends.
 */
import { newestLink } from '../../core/chain.ts';
import { EvergrantError } from '../../core/errors.ts';
import type { GrantId, LinkId } from '../../core/id.ts';
import type { Instant } from '../../core/instant.ts';
import { Secret } from '../../core/secret.ts';
import { heldAnswer } from '../held-answers.ts';
import type { HeaderCredential, LiveAccessToken } from '../keeper.ts';
import type { ChainMinder } from '../minder.ts';
import type { KeeperParts } from '../parts.ts';
import { tokensOf } from '../reading.ts';
import { credentialIn } from './credential.ts';
import { isHeaderScheme } from './scheme.ts';

const BEARER = 'Bearer ';

export class HeaderCredentials {
  readonly #parts: KeeperParts;
  readonly #read = new Map<GrantId, { readonly link: LinkId; readonly credential: HeaderCredential }>();

  constructor(parts: KeeperParts) {
    this.#parts = parts;
  }

  /** Null for a grant that has access tokens. Rejects where the grant has ended. */
  async of(minder: ChainMinder): Promise<HeaderCredential | null> {
    const { provider, scheme } = await minder.upstream();
    if (!isHeaderScheme(scheme)) return null;
    await minder.load();
    const { chain } = await minder.stored();
    const link = newestLink(chain);
    const form = provider.credentials?.headers[scheme];
    if (!link || !form) {
      this.#read.delete(minder.grant);
      throw ended(minder.grant);
    }
    const earlier = this.#read.get(minder.grant);
    if (earlier?.link === link.id) return earlier.credential;
    const answer = await heldAnswer(this.#parts, minder.grant, link.tokenOf);
    const text = answer && tokensOf(answer, provider, link.receivedAt.at).refreshToken;
    if (!text) throw lost(minder.grant);
    const { username = '', password = '', apiKey = '' } = credentialIn(text);
    const sent = scheme === 'basic' ? Buffer.from(`${username}:${password}`).toString('base64') : apiKey;
    const credential = { header: form.header, value: new Secret('credential', `${form.prefix}${sent}`) };
    this.#read.set(minder.grant, { link: link.id, credential });
    return credential;
  }

  /**
   * An API key that a provider takes where others want an access token is as good as one, for any time. Rejects for
   * every other: whoever sent it as a bearer token would be refused. Null for a grant that has access tokens.
   */
  async asToken(minder: ChainMinder): Promise<LiveAccessToken | null> {
    const credential = await this.of(minder);
    if (!credential) return null;
    const value = credential.value.reveal();
    if (credential.header !== 'authorization' || !value.startsWith(BEARER)) throw notAToken(minder.grant);
    return {
      accessToken: new Secret('access token', value.slice(BEARER.length)),
      expiresAt: Number.POSITIVE_INFINITY as Instant,
      leftMs: Number.POSITIVE_INFINITY,
      scope: null,
    };
  }
}

function notAToken(grant: GrantId): EvergrantError {
  return new EvergrantError('no_access_token', 'This grant has an API key or a password, and no access token.', {
    remedy: `Call the provider through the proxy, which sends it as the provider wants it: /proxy/${grant}/…`,
    grant,
  });
}

function ended(grant: GrantId): EvergrantError {
  return new EvergrantError('grant_revoked', 'The grant was ended here.', { remedy: 'Make another grant.', grant });
}

function lost(grant: GrantId): EvergrantError {
  return new EvergrantError('authorization_required', 'What the grant held can be read no more.', {
    remedy: 'Give it its credentials anew.',
    grant,
  });
}
