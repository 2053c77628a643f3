/** What a resource says of itself, and what a registration says. */
import { expect, test } from 'vitest';
import { protectedResourceUrls, readProtectedResource } from './protected-resource.ts';
import { readRegistration, registrationBody } from './registration.ts';

const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

test.each([
  ['https://api.test/mcp', ['https://api.test/.well-known/oauth-protected-resource/mcp']],
  ['https://api.test/a/b/', ['https://api.test/.well-known/oauth-protected-resource/a/b']],
  ['https://api.test', []],
])('the document of %s lies before its path, or is one for all', (resource, own) => {
  expect(protectedResourceUrls(resource)).toEqual([...own, 'https://api.test/.well-known/oauth-protected-resource']);
});

test.each([
  ['https://api.test/mcp', 'https://api.test/mcp'],
  ['https://api.test', 'https://api.test/'],
  ['https://API.test/mcp', 'https://api.test/mcp'],
])('a document about %s is one about %s', (named, resource) => {
  const document = bytes({ resource: named, authorization_servers: ['https://as.test', 'https://other.test'] });
  expect(readProtectedResource(document, resource)).toBe('https://as.test');
});

test.each<[what: string, document: unknown]>([
  ['another path', { resource: 'https://api.test/other', authorization_servers: ['https://as.test'] }],
  ['another host', { resource: 'https://evil.test/mcp', authorization_servers: ['https://as.test'] }],
  ['no resource', { authorization_servers: ['https://as.test'] }],
  ['no server', { resource: 'https://api.test/mcp' }],
  ['a server that is no text', { resource: 'https://api.test/mcp', authorization_servers: [1] }],
  ['nothing', null],
])('a document with %s is not used', (_, document) => {
  expect(() => readProtectedResource(bytes(document), 'https://api.test/mcp')).toThrow(
    expect.objectContaining({ code: 'upstream_refused' }),
  );
});

test.each<[offered: readonly string[], method: string]>([
  [[], 'client_secret_basic'],
  [['none', 'client_secret_post'], 'client_secret_post'],
  [['none'], 'none'],
  [['private_key_jwt'], 'client_secret_basic'],
])('of %j a registration asks for %s', (offered, method) => {
  const body: unknown = JSON.parse(registrationBody('Evergrant', 'http://127.0.0.1/callback', offered));
  expect(body).toMatchObject({ token_endpoint_auth_method: method, redirect_uris: ['http://127.0.0.1/callback'] });
});

test('a registration without a secret, or for the method none, is one of a public client', () => {
  expect(readRegistration(201, bytes({ client_id: 'c' })).clientSecret).toBeNull();
  const named = { client_id: 'c', client_secret: 's', token_endpoint_auth_method: 'none' };
  expect(readRegistration(201, bytes(named)).clientSecret).toBeNull();
  expect(readRegistration(200, bytes({ client_id: 'c', client_secret: 's' })).clientSecret?.reveal()).toBe('s');
});

test.each([
  [400, { error: 'invalid_redirect_uri', error_description: 'not this one' }, 'invalid_redirect_uri: not this one'],
  [201, {}, 'status 201'],
  [500, { client_id: 'c' }, 'status 500'],
])('a refused registration (%i) tells why', (status, document, said) => {
  expect(() => readRegistration(status, bytes(document))).toThrow(said);
});
