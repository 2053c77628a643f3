/** A request to the token endpoint, as far as it could be read: fields, and how the client says who it is. */
import { parseObject } from '../oauth/json.ts';
import { ASSERTION_TYPE } from './client-assertion.ts';
import type { Presented } from './register.ts';
import type { Upstream } from './upstream.ts';
import { type EmulatorRequest, formOf, jsonFieldsOf, originOf, pathOf } from './wire.ts';

export interface TokenRequest {
  readonly fields: ReadonlyMap<string, string>;
  readonly basic: boolean;
  readonly clientId: string | null;
  readonly clientSecret: string | null;
  /** Of `private_key_jwt`. */
  readonly assertion: string | null;
  /** The code or refresh token. */
  readonly presented: Presented | null;
  readonly realm: string;
  readonly origin: string;
}

export const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

const CODE_OF: Readonly<Record<string, string>> = { authorization_code: 'code', [DEVICE_GRANT]: 'device_code' };

/** Null for what is no such request: another kind of body, a field that comes twice, two ways to authenticate. */
export function readTokenRequest(upstream: Upstream, request: EmulatorRequest, realm: string): TokenRequest | null {
  const { form } = upstream;
  const read =
    (form.bodies.includes('form') ? formOf(request) : null) ??
    (form.bodies.includes('json') ? jsonFieldsOf(request) : null);
  if (!read) return null;
  // What comes to a place of its own for exchanges need not say that it is one.
  const isExchange = form.paths.refresh !== null && pathOf(request) === form.paths.refresh;
  const fields = isExchange ? new Map([['grant_type', 'refresh_token'], ...read]) : read;
  const basic = basicOf(request);
  const assertion = fields.get('client_assertion') ?? null;
  const ways = Number(basic !== null) + Number(fields.has('client_secret')) + Number(assertion !== null);
  if (ways > 1 || (assertion !== null) !== (fields.get('client_assertion_type') === ASSERTION_TYPE)) return null;
  const presented = fields.get(CODE_OF[fields.get('grant_type') ?? ''] ?? 'refresh_token');
  return {
    fields,
    basic: basic !== null,
    clientId: basic?.id ?? fields.get(form.clientIdParameter) ?? (assertion === null ? null : subjectOf(assertion)),
    clientSecret: basic?.secret ?? fields.get('client_secret') ?? null,
    assertion,
    presented: presented ? upstream.presented(presented) : null,
    realm,
    origin: originOf(request),
  };
}

/** RFC 7523 section 3: with an assertion no client id is needed. */
function subjectOf(assertion: string): string | null {
  const claims = parseObject(Buffer.from(assertion.split('.')[1] ?? '', 'base64url').toString());
  return typeof claims?.sub === 'string' ? claims.sub : null;
}

/** RFC 6749 section 2.3.1: both parts are form-encoded before they are joined. */
function basicOf(request: EmulatorRequest): { id: string; secret: string } | null {
  const { authorization } = request.headers;
  const text = authorization === undefined ? undefined : /^Basic +(\S+)$/i.exec(authorization)?.[1];
  const parts = text === undefined ? null : /^([^:]*):(.*)$/.exec(Buffer.from(text, 'base64').toString());
  if (!parts) return null;
  const decode = (part = '') => new URLSearchParams(`v=${part}`).get('v') ?? '';
  return { id: decode(parts[1]), secret: decode(parts[2]) };
}
