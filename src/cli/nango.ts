/**
 * Connections as Nango gives them (`GET /connections/{id}`, or a list of these), as lines of an import. Their shape: the
 * page "Get a connection" of nango.dev, read on 2026-11-22. A connection without an OAuth 2 refresh token is no grant.
 */
import { asObject, type Json, objects, text } from './json.ts';

/** The connections in a document; null where it is something else. */
export function nangoConnections(document: unknown): readonly Json[] | null {
  const found = Array.isArray(document) ? objects(document) : objects(asObject(document).connections);
  const all = found.length > 0 ? found : [asObject(document)];
  return all.every((one) => text(one, 'connection_id') !== '') ? all : null;
}

/** One line of an import. `apps` names app or provider for each of Nango's integrations, by their key. */
export function lineOf(connection: Json, apps: Readonly<Record<string, string>>, nowMs: number): Json {
  const credentials = asObject(connection.credentials);
  const config = asObject(connection.connection_config);
  const integration = text(connection, 'provider_config_key');
  const named = apps[integration] ?? (text(connection, 'provider') || integration);
  const owner = text(asObject(connection.end_user), 'id') || text(asObject(connection.tags), 'end_user_id');
  const clientId = text(config, 'oauth_client_id_override');
  const left = Math.floor((Date.parse(text(credentials, 'expires_at')) - nowMs) / 1000);
  const accessToken = text(credentials, 'access_token');
  const refreshToken = text(credentials, 'refresh_token') || text(asObject(credentials.raw), 'refresh_token');
  return {
    alias: aliasOf(text(connection, 'connection_id')),
    ...(named.startsWith('app_') ? { app: named } : { provider: named }),
    refresh_token: refreshToken,
    ...(accessToken !== '' && left > 0 ? { access_token: accessToken, expires_in: left } : {}),
    ...(owner === '' ? {} : { owner }),
    ...(clientId === '' ? {} : { client_id: clientId, client_secret: text(config, 'oauth_client_secret_override') }),
    labels: { 'nango/connection': text(connection, 'connection_id'), 'nango/integration': integration },
  };
}

/** An alias of ours: lower case, and only some signs. */
function aliasOf(connectionId: string): string {
  const plain = connectionId.toLowerCase().replaceAll(/[^a-z0-9._-]+/g, '-');
  return plain.replace(/^[^a-z0-9]+/, '').slice(0, 63);
}
