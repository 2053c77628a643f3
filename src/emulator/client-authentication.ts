/** Who asks at the token, revocation and device endpoints (RFC 6749 section 2.3): a secret, a signed assertion, or nothing. */
import type { App } from './accounts.ts';
import type { Context } from './context.ts';
import type { Form, TokenRefusal } from './form.ts';
import type { TokenRequest } from './token-request.ts';

export type Authenticated =
  | { readonly app: App; readonly isPublic: boolean }
  | { readonly app: null; readonly reason: TokenRefusal };

/** An app with keys of its own has no other way; of the others each may use its secret as the form allows. */
export function authenticate(context: Context, parsed: TokenRequest): Authenticated {
  const { accounts, form } = context.upstream;
  const no = (reason: TokenRefusal): Authenticated => ({ app: null, reason });
  const app = accounts.apps.get(parsed.clientId ?? '');
  if (!app) return no('client-unknown');
  if (app.keys || parsed.assertion !== null) {
    if (!app.keys || parsed.assertion === null) return no('assertion-missing');
    const { clientId } = app;
    const audiences = audiencesOf(form, parsed.origin);
    const reason = app.keys.refusalOf(parsed.assertion, { clientId, audiences, now: context.now() });
    return reason ? no(reason) : { app, isPublic: false };
  }
  const isPublic = form.hasPublicClients && parsed.clientSecret === null;
  return isPublic || app.clientSecret === parsed.clientSecret ? { app, isPublic } : no('client-secret-wrong');
}

/** The token endpoint, as RFC 7523 has it, or the issuer. */
export function audiencesOf({ paths, openId }: Form, origin: string): readonly string[] {
  const places = [paths.token, paths.refresh, paths.device, ...(openId ? [openId.issuerPath] : [])];
  return [origin, ...places.flatMap((place) => (place === null ? [] : [`${origin}${place}`]))];
}
