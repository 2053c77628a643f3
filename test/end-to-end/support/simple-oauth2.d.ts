/** What the tests use of `simple-oauth2`, which brings no types. */
declare module 'simple-oauth2' {
  interface Token {
    readonly token: Readonly<Record<string, unknown>>;
    refresh(): Promise<Token>;
    revoke(type: 'access_token' | 'refresh_token'): Promise<void>;
  }

  interface Config<Auth> {
    readonly client: { readonly id: string; readonly secret: string };
    readonly auth: Auth & { readonly tokenHost: string; readonly tokenPath: string; readonly revokePath?: string };
    readonly options?: { readonly authorizationMethod: 'header' | 'body' };
  }

  export class ClientCredentials {
    constructor(config: Config<unknown>);
    getToken(params: object): Promise<Token>;
  }

  export class AuthorizationCode {
    constructor(config: Config<{ readonly authorizePath: string }>);
    authorizeURL(params: { readonly redirect_uri: string; readonly scope?: string; readonly state?: string }): string;
    getToken(params: { readonly code: string; readonly redirect_uri: string }): Promise<Token>;
    createToken(token: Readonly<Record<string, unknown>>): Token;
  }
}
