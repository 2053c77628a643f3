/** A fresh access token, in the form that is wanted. */
import { withApi } from './api.ts';
import { asObject, type Json, text } from './json.ts';
import { print } from './output.ts';

export const FORMATS = ['raw', 'json', 'env', 'header', 'exec-credential'] as const;
export type Format = (typeof FORMATS)[number];

export interface TokenOptions {
  readonly minTtl?: number;
  readonly wait?: number;
  readonly format: Format;
  readonly json?: boolean;
}

export async function printToken(alias: string, options: TokenOptions): Promise<void> {
  const answer = await withApi({ ...options }, 'none', (api) => {
    const path = `/v1/grants/${encodeURIComponent(alias)}/token`;
    const { minTtl, wait } = options;
    if (wait === undefined) return api.call('GET', minTtl === undefined ? path : `${path}?min_ttl=${minTtl}`);
    return api.call('POST', path, { wait, ...(minTtl === undefined ? {} : { min_ttl: minTtl }) });
  });
  print(format(asObject(answer), options.json ? 'json' : options.format));
}

function format(answer: Json, as: Format): string {
  const [token, end] = [text(answer, 'access_token'), text(answer, 'expires_at')];
  switch (as) {
    case 'raw':
      return token;
    case 'json':
      return JSON.stringify(answer);
    case 'env':
      return `ACCESS_TOKEN=${quoteForShell(token)}`;
    case 'header':
      return `Authorization: Bearer ${token}`;
    case 'exec-credential':
      return JSON.stringify({
        apiVersion: execVersion(),
        kind: 'ExecCredential',
        status: { token, ...(end === '' ? {} : { expirationTimestamp: end }) },
      });
  }
}

/** kubectl wants the version in which it asked. */
function execVersion(): string {
  const asked = /"apiVersion": ?"(client\.authentication\.k8s\.io\/v1\w*)"/.exec(
    process.env.KUBERNETES_EXEC_INFO ?? '',
  );
  return asked?.[1] ?? 'client.authentication.k8s.io/v1';
}

/** Most tokens need no quotes, and what reads env files often takes quotes for a part of the value. */
function quoteForShell(words: string): string {
  return /^[\w.~+/=:-]+$/.test(words) ? words : `'${words.replaceAll("'", `'\\''`)}'`;
}
