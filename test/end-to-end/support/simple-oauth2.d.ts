/** What the tests use of `simple-oauth2`, which brings no types. */
declare module 'simple-oauth2' {
  interface Token {
    readonly token: Readonly<Record<string, unknown>>;
    refresh(): Promise<Token>;
  }

  export class AuthorizationCode {
    constructor(config: {
      readonly client: { readonly id: string; readonly secret: string };
      readonly auth: { readonly tokenHost: string; readonly tokenPath: string; readonly authorizePath: string };
      readonly options?: { readonly authorizationMethod: 'header' | 'body' };
    });
    authorizeURL(params: { readonly redirect_uri: string; readonly scope?: string; readonly state?: string }): string;
    getToken(params: { readonly code: string; readonly redirect_uri: string }): Promise<Token>;
    createToken(token: Readonly<Record<string, unknown>>): Token;
  }
}
