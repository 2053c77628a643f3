/**
 * A fresh access token, in the form that is wanted. Programs ask for one again and again, so the plain form of the
 * command is read here, without a library for command lines: that takes longer to load than a token to fetch. What is not
 * understood here, help and mistakes among it, is left to `token.ts`.
 */
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

/** False where nothing was done. */
export async function printPlain(words: readonly string[]): Promise<boolean> {
  const [alias, options] = understood(words) ?? [];
  if (alias === undefined || options === undefined) return false;
  await printToken(alias, options);
  return true;
}

/** Alias and options as commander would give them; null where it has to look. */
function understood(words: readonly string[]): readonly [string, TokenOptions] | null {
  const aliases: string[] = [];
  const options: Record<string, unknown> = { format: 'raw' };
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? '';
    if (word === '--json') options.json = true;
    else if (!word.startsWith('-')) aliases.push(word);
    else if (!take(options, word, words[++i])) return null;
  }
  const [alias] = aliases;
  return alias === undefined || aliases.length > 1 ? null : [alias, options as unknown as TokenOptions];
}

function take(options: Record<string, unknown>, flag: string, value: string | undefined): boolean {
  if (value === undefined || value.startsWith('-')) return false;
  switch (flag) {
    case '--server':
    case '--data':
      options[flag.slice(2)] = value;
      return true;
    case '--min-ttl':
    case '--wait':
      options[flag === '--wait' ? 'wait' : 'minTtl'] = Number(value);
      return /^\d{1,9}$/.test(value);
    case '--format':
      options.format = value;
      return (FORMATS as readonly string[]).includes(value);
    default:
      return false;
  }
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
