/**
 * `evergrant token` as programs call it, without a library for command lines: that takes longer to load than a token to
 * fetch. What is not understood here, help and mistakes among it, is left to `token.ts`.
 */
import { FORMATS, printToken, type TokenOptions } from './print-token.ts';

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
