/** Out to the provider through a browser, and back. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type AuthorizationEndpoint, authorizationUrl } from './authorization-request.ts';
import { readAuthorizationResponse, readReturnUrl } from './authorization-response.ts';
import { readIdToken } from './id-token.ts';
import { metadataUrls, readMetadata } from './metadata.ts';
import { challengeOf, createVerifier } from './pkce.ts';

describe('PKCE', () => {
  test('makes the verifier and challenge of RFC 7636 appendix B', () => {
    const octets = [
      116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186, 22, 212, 37, 77, 105, 214, 191, 240,
      91, 88, 5, 88, 83, 132, 141, 121,
    ];
    const verifier = createVerifier(Uint8Array.from(octets));
    expect(verifier.reveal()).toBe('dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk');
    expect(challengeOf(verifier)).toBe('E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM');
  });

  test('refuses too little chance', () => {
    expect(() => createVerifier(new Uint8Array(31))).toThrow('32 random bytes');
  });
});

describe('the address at the provider', () => {
  const endpoint: AuthorizationEndpoint = {
    authorizationEndpoint: 'https://login.test/auth?kept=1',
    authorizationParameters: { access_type: 'offline', state: 'never this one' },
    scope: { default: ['read'], forRefreshToken: 'offline_access', separator: ' ' },
  };
  const request = {
    clientId: 'c',
    redirectUri: 'https://us.test/callback?x=1',
    state: 's+t',
    scope: [],
    codeChallenge: null,
  };
  const parametersOf = (url: string) => Object.fromEntries(new URL(url).searchParams);

  test('holds what RFC 6749 wants and what the provider adds, and keeps the query it has', () => {
    expect(parametersOf(authorizationUrl(endpoint, request))).toEqual({
      kept: '1',
      access_type: 'offline',
      response_type: 'code',
      client_id: 'c',
      redirect_uri: 'https://us.test/callback?x=1',
      state: 's+t',
      scope: 'read offline_access',
    });
  });

  test('asks for the scope that gives a refresh token once, whatever scope was wished for', () => {
    const url = authorizationUrl(endpoint, { ...request, scope: ['write', 'offline_access'] });
    expect(parametersOf(url).scope).toBe('write offline_access');
  });

  test("joins scopes with the provider's separator, and spells a space as %20", () => {
    const commas = { ...endpoint, scope: { ...endpoint.scope, separator: ',' } };
    expect(authorizationUrl(commas, request)).toContain('scope=read%2Coffline_access');
    expect(authorizationUrl(endpoint, request)).toContain('scope=read%20offline_access');
  });

  test('leaves scope and PKCE out where there are none', () => {
    const bare = { ...endpoint, scope: { default: [], forRefreshToken: null, separator: ' ' } };
    const parameters = parametersOf(authorizationUrl(bare, request));
    expect(parameters).not.toHaveProperty('scope');
    expect(parameters).not.toHaveProperty('code_challenge_method');
  });

  test('carries the challenge with its method', () => {
    const parameters = parametersOf(authorizationUrl(endpoint, { ...request, codeChallenge: 'E9M' }));
    expect(parameters).toMatchObject({ code_challenge: 'E9M', code_challenge_method: 'S256' });
  });
});

describe('the way back', () => {
  test('a code is decoded exactly once', () => {
    const response = readAuthorizationResponse('?code=stamp.Ab3_%21I%2521&state=s&iss=https%3A%2F%2Flogin.test');
    expect(response.code?.reveal()).toBe('stamp.Ab3_!I%21');
    expect(response).toMatchObject({ state: 's', iss: 'https://login.test', error: null });
  });

  test('a refusal is read with its description', () => {
    expect(readAuthorizationResponse('error=access_denied&error_description=not+now&state=s')).toMatchObject({
      code: null,
      error: 'access_denied',
      errorDescription: 'not now',
    });
  });

  test('an answer with two codes is refused', () => {
    expect(() => readAuthorizationResponse('code=a&code=b')).toThrow('"code" more than once');
  });

  test.each([
    'http://127.0.0.1:8787/callback?code=x%21y&state=s',
    '  "http://127.0.0.1:8787/callback?code=x%21y&state=s"\n',
    'http://127.0.0.1:8787/callback?code=x%\n21y&state=s',
    'http://127.0.0.1:8787/callback?code=x%21y&amp;state=s',
    'http://127.0.0.1:8787/callback#code=x%21y&state=s',
    'http://127.0.0.1:8787/callback?code=x%21y&state=s#_=_',
  ])('a pasted return address is read: %j', (pasted) => {
    const response = readReturnUrl(pasted);
    expect(response.code?.reveal()).toBe('x!y');
    expect(response.state).toBe('s');
  });

  test.each(['', 'hello', 'stampNL001.Ab3_', 'https://login.test/auth?client_id=c'])(
    'a pasted text without a code is refused: %j',
    (pasted) => {
      expect(() => readReturnUrl(pasted)).toThrow('not a return address');
    },
  );

  test('what is sent by a form comes back as it was', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1 }), (code) => {
        expect(readAuthorizationResponse(new URLSearchParams({ code }).toString()).code?.reveal()).toBe(code);
      }),
    );
  });
});

describe('an id_token', () => {
  const jwt = (claims: unknown) => `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.sig`;

  test('names its subject, issuer and the account to show', () => {
    expect(readIdToken(jwt({ sub: 'u1', iss: 'https://i', aud: 'c', nonce: 'n', email: 'é@x.test' }))).toEqual({
      sub: 'u1',
      iss: 'https://i',
      aud: ['c'],
      nonce: 'n',
      preferredUsername: null,
      email: 'é@x.test',
      name: null,
    });
  });

  test('that is none, or has no subject, is not read, whatever the text', () => {
    for (const text of ['', 'a.b', 'a.b.c', jwt({}), jwt({ sub: 1 }), jwt(null), jwt([])])
      expect(readIdToken(text)).toBeNull();
    fc.assert(fc.property(fc.string(), (text) => void readIdToken(`x.${text}.y`)));
  });
});

describe('discovery', () => {
  test('asks at the places of OpenID and RFC 8414', () => {
    expect(metadataUrls('https://i.test/tenant/')).toEqual([
      'https://i.test/tenant/.well-known/openid-configuration',
      'https://i.test/.well-known/oauth-authorization-server/tenant',
      'https://i.test/.well-known/openid-configuration/tenant',
    ]);
    expect(metadataUrls('https://i.test')).toHaveLength(2);
  });

  const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

  test('reads what is used of the document', () => {
    const document = {
      issuer: 'https://i.test',
      token_endpoint: 'https://i.test/t',
      code_challenge_methods_supported: ['S256', 1],
      authorization_response_iss_parameter_supported: true,
    };
    expect(readMetadata(bytes(document), 'https://i.test')).toMatchObject({
      tokenEndpoint: 'https://i.test/t',
      authorizationEndpoint: null,
      codeChallengeMethodsSupported: ['S256'],
      authorizationResponseIssParameterSupported: true,
    });
  });

  test.each(['https://i.test/', 'https://I.test', undefined])(
    'a document that names the issuer %s instead is refused',
    (issuer) => {
      expect(() => readMetadata(bytes({ issuer }), 'https://i.test')).toThrow('cannot be used');
    },
  );
});
