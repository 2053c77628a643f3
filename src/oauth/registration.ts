/** Registering as a client without a person (RFC 7591). */
import { EvergrantError } from '../core/errors.ts';
import { type ClientSecret, Secret } from '../core/secret.ts';
import { parseObject, textOf } from './json.ts';

export interface Registration {
  readonly clientId: string;
  /** Null for a public client. */
  readonly clientSecret: ClientSecret | null;
}

/** The methods that are used of those that a server offers, best first; the first is what naming none means. */
const METHODS = ['client_secret_basic', 'client_secret_post', 'none'];

export function registrationBody(name: string, redirectUri: string, offered: readonly string[]): string {
  const method = offered.length === 0 ? METHODS[0] : METHODS.find((one) => offered.includes(one));
  return JSON.stringify({
    client_name: name,
    redirect_uris: [redirectUri],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: method ?? METHODS[0],
  });
}

/** Throws `upstream_refused` with what the server said, which holds no secret of ours. */
export function readRegistration(status: number, body: Uint8Array): Registration {
  const document = parseObject(new TextDecoder().decode(body)) ?? {};
  const clientId = textOf(document.client_id);
  if (status >= 300 || clientId === null) throw refused(status, document);
  const secret = document.token_endpoint_auth_method === 'none' ? null : textOf(document.client_secret);
  return { clientId, clientSecret: secret === null ? null : new Secret('client secret', secret) };
}

function refused(status: number, document: Readonly<Record<string, unknown>>): EvergrantError {
  const said = [textOf(document.error), textOf(document.error_description)].filter(Boolean).join(': ').slice(0, 300);
  return new EvergrantError('upstream_refused', `The registration was refused (${said || `status ${status}`}).`, {
    remedy: 'Register an app there yourself, and give its client id and secret.',
  });
}
