/**
 * A JSON body, read strictly. What JSON.parse says of a mistake quotes the body, and bodies hold secrets; so the place
 * of the mistake is found here, and only the place is told.
 */
import { isUtf8 } from 'node:buffer';
import { EvergrantError } from '../core/errors.ts';

/** No body of the API is nested deeper than this by far; what walks a value may do it by recursion. */
const MOST_DEPTH = 64;

/** The value of a body; undefined for an empty one. */
export function readJson(bytes: Buffer): unknown {
  if (bytes.length === 0) return undefined;
  if (!isUtf8(bytes)) throw notJson('it is not UTF-8');
  const text = bytes.toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    const { line, column } = lineAndColumn(text, whereItBreaks(text));
    throw notJson(`line ${line}, position ${column}`);
  }
  if (isDeeperThan(MOST_DEPTH, value)) throw notJson(`it is nested more than ${MOST_DEPTH} levels deep`);
  // The only name that is not a plain member everywhere. It may be spelled with escapes.
  if (/__proto__|\\u/.test(text)) JSON.parse(text, refuseProto);
  return value;
}

/** Level by level: the value may be nested deeper than the stack is. */
function isDeeperThan(most: number, value: unknown): boolean {
  let level = [value];
  for (let depth = 0; depth <= most && level.length > 0; depth++) level = level.flatMap(members);
  return level.length > 0;
}

function members(value: unknown): unknown[] {
  return typeof value === 'object' && value !== null ? Object.values(value) : [];
}

function refuseProto(key: string, value: unknown): unknown {
  if (key !== '__proto__') return value;
  throw new EvergrantError('unknown_field', 'Not known here: __proto__.', { remedy: 'Leave it out.' });
}

function notJson(where: string): EvergrantError {
  return new EvergrantError('invalid_request', `The body is not valid JSON: ${where}.`, {
    remedy: 'Send one JSON object, as in {"min_ttl": 60}, in UTF-8.',
  });
}

const TOKEN =
  /[ \t\n\r]*(?:([{}[\],:])|("[^"\\]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\]*)*")|(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?![\w.]))/y;

type Wanted = 'value' | 'value or ]' | 'key' | 'key or }' | ':' | ', or end';

/** Where the first thing stands that cannot be there, as an offset into the text. */
export function whereItBreaks(text: string): number {
  const open: string[] = [];
  let wanted: Wanted | 'nothing' = 'value';
  let at = 0;
  for (;;) {
    TOKEN.lastIndex = at;
    const token = TOKEN.exec(text);
    if (!token) return skipSpace(text, at);
    const control = controlCharacter(token[2]);
    if (control >= 0) return TOKEN.lastIndex - (token[2]?.length ?? 0) + control;
    const next = follow(wanted, token[1] ?? (token[2] === undefined ? 'scalar' : 'string'), open);
    if (next === null) return skipSpace(text, at);
    wanted = next;
    at = TOKEN.lastIndex;
  }
}

/** What may come after a token; null where the token itself may not be there. */
function follow(wanted: Wanted | 'nothing', token: string, open: string[]): Wanted | 'nothing' | null {
  const afterValue = () => (open.length > 0 ? ', or end' : 'nothing');
  const inObject = open.at(-1) === '{';
  if (wanted === 'value' || wanted === 'value or ]') {
    if (token === 'scalar' || token === 'string') return afterValue();
    if (token === '{' || token === '[') {
      open.push(token);
      return token === '{' ? 'key or }' : 'value or ]';
    }
  }
  if ((wanted === 'key' || wanted === 'key or }') && token === 'string') return ':';
  if (wanted === ':' && token === ':') return 'value';
  if (wanted === ', or end' && token === ',') return inObject ? 'key' : 'value';
  const mayClose = wanted === ', or end' || wanted === (inObject ? 'key or }' : 'value or ]');
  if (mayClose && token === (inObject ? '}' : ']')) {
    open.pop();
    return afterValue();
  }
  return null;
}

/** JSON strings hold no bare line break or other control character. */
function controlCharacter(string: string | undefined): number {
  for (let i = 0; i < (string?.length ?? 0); i++) if ((string?.charCodeAt(i) ?? 32) < 32) return i;
  return -1;
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && ' \t\n\r'.includes(text.charAt(at))) at++;
  return at;
}

function lineAndColumn(text: string, offset: number): { readonly line: number; readonly column: number } {
  const before = text.slice(0, offset);
  const lastBreak = before.lastIndexOf('\n');
  return { line: before.split('\n').length, column: offset - lastBreak };
}
