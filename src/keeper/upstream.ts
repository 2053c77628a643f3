/** One app's view of its provider: everything that is needed to send it a request. */
import type { ResolvedProvider, Scheme } from '../catalogue/provider.ts';
import type { AppId } from '../core/id.ts';
import type { ClientSecret } from '../core/secret.ts';
import type { SigningKey } from './client-assertion.ts';

export interface Upstream {
  readonly app: AppId;
  readonly appName: string;
  readonly provider: ResolvedProvider;
  readonly clientId: string;
  readonly clientSecret: ClientSecret | null;
  /** With it the app signs for itself, and has no secret. */
  readonly signingKey: SigningKey | null;
  /** How a grant gets access tokens without a refresh token; null: it has one, or will. */
  readonly scheme: Scheme | null;
  readonly redirectUri: string;
  /** The same for two apps that are one registration at the provider. */
  readonly registration: string;
}

/** Finds the upstream of an app; reads from memory after the first time. */
export interface Upstreams {
  of(app: AppId): Promise<Upstream>;
}
