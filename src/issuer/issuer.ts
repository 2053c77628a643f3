/** What the issuer offers to those around it: our authorization server for clients, without HTTP. */
import type { Parameters } from '../oauth/form.ts';
import { invalidRequest, OAuthError } from '../oauth/oauth-error.ts';
import { type Authorize, authorize, type DeviceAuthorization } from './authorize.ts';
import { Batch } from './batch.ts';
import { type ClientAccess, clientAccess } from './client-access.ts';
import { clientAuthentication, type OAuthRequest } from './client-authentication.ts';
import { ClientTokens } from './client-tokens.ts';
import { type Clients, clientRegistry } from './clients.ts';
import { codeGrant } from './code-grant.ts';
import { dpopProofs } from './dpop.ts';
import { ClientEvents } from './events.ts';
import { Heard } from './heard.ts';
import { type Introspection, introspect, revokeToken } from './introspection.ts';
import { JsonWebTokens } from './json-web-tokens.ts';
import { metadata } from './metadata.ts';
import type { IssuerParts } from './parts.ts';
import { refreshGrant } from './refresh-grant.ts';
import { Requests } from './requests.ts';
import { type TokenEndpoint, tokenEndpoint } from './token-endpoint.ts';
import { tokenExchangeGrant } from './token-exchange-grant.ts';
import { UsedAssertions } from './used-assertions.ts';

export interface Issuer {
  readonly clients: Clients;
  readonly token: TokenEndpoint;
  readonly authorize: Authorize;
  readonly metadata: Readonly<Record<string, unknown>>;
  /** For the proxy: whether a client proves itself by this id and secret, and may use the grant. */
  readonly access: ClientAccess;
  revoke(request: OAuthRequest): Promise<void>;
  introspect(request: OAuthRequest): Promise<Introspection>;
  push(request: OAuthRequest): ReturnType<Authorize['push']>;
  beginDevice(request: OAuthRequest): Promise<DeviceAuthorization>;
  /** Writes what waits to be written, and no more work in the background. */
  drain(): Promise<void>;
}

const SWEEP_EVERY_MS = 600_000;

export function createIssuer(parts: IssuerParts): Issuer {
  const batch: Batch = new Batch(parts, write);
  const note = () => batch.note();
  const events = new ClientEvents(parts, note);
  const heard = new Heard(parts);
  // What was checked before counts no more.
  const forget = () => heard.all();
  const tokens = new ClientTokens(parts, events, { onUse: note, onEnd: forget });
  const requests = new Requests(parts, note);
  const used = new UsedAssertions(parts);
  const webTokens = new JsonWebTokens(parts, used);
  const proofs = dpopProofs(parts, used, events);
  const clients = clientRegistry(parts, tokens, events, forget);

  const authenticate = clientAuthentication(parts, clients, webTokens, events);
  const refresh = refreshGrant(parts, tokens, events);
  const token = tokenEndpoint(parts, heard, {
    authenticate,
    proofs,
    tokens,
    refresh,
    codes: codeGrant(parts, tokens, requests, events),
    exchange: tokenExchangeGrant(parts, tokens, refresh, webTokens, events),
  });
  const access = clientAccess(heard, authenticate, tokens);
  const flow = authorize(parts, clients, tokens, requests);
  let sweptAt = parts.clock.now();

  async function write(): Promise<boolean> {
    await events.flush();
    if (parts.clock.now() - sweptAt >= SWEEP_EVERY_MS) {
      sweptAt = parts.clock.now();
      await requests.sweep();
      await tokens.sweep();
    }
    return tokens.flush(false);
  }

  return {
    clients,
    token,
    authorize: flow,
    metadata: metadata(parts.publicUrl),
    access,

    async revoke(request) {
      const client = await authenticate(request);
      await revokeToken(tokens, client, tokenIn(request.parameters));
    },

    async introspect(request) {
      const client = await authenticate(request);
      if (client.type === 'public') throw new OAuthError('invalid_client');
      return introspect(parts, tokens, client, tokenIn(request.parameters));
    },

    async push(request) {
      const client = await authenticate(request);
      const proof = await proofs.read(request.dpop, 'par', client);
      return flow.push(client, request.parameters, proof, request.from ?? '');
    },

    async beginDevice(request) {
      return flow.beginDevice(await authenticate(request), request.parameters, request.from ?? '');
    },

    async drain() {
      const { log } = parts;
      await batch.drain();
      const rest = events.flush().then(() => tokens.flush(true));
      // A store that is away keeps nothing from ending.
      await rest.catch((cause: unknown) =>
        log.warn('Last uses of clients were not written.', { reason: String(cause) }),
      );
    },
  };
}

function tokenIn(parameters: Parameters): string {
  const text = parameters.get('token');
  if (text === undefined) throw invalidRequest('token is missing.');
  return text;
}
