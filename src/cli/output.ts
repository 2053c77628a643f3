/**
 * What goes to stdout (data, nothing else) and to stderr (messages). Everything that came from elsewhere is shown
 * without control characters: an account's label must not be able to paint a terminal.
 */
import { stripVTControlCharacters, styleText } from './builtin.ts';

type Style = Parameters<typeof styleText>[0];

/** One line of data. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** One JSON value on a line of its own. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value));
}

/** One line for the person in front; never data. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Styled on a terminal, plain in a pipe or with NO_COLOR. */
export function paint(style: Style, words: string): string {
  return styleText(style, words, { stream: process.stdout, validateStream: true });
}

/** Text from elsewhere, on one line and without control characters. */
export function clean(words: string): string {
  return stripVTControlCharacters(words).replace(/[\p{Cc}\p{Cf}]+/gu, ' ');
}

export interface Cell {
  readonly words: string;
  readonly style?: Style;
}

/** Columns that line up, with a bold head; the last column is as wide as it likes. */
export function table(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const cells = [head.map((words): Cell => ({ words, style: 'bold' })), ...rows.map((row) => row.map(cleanCell))];
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.words.length ?? 0)));
  return cells
    .map((row) =>
      row
        .map((cell, i) => pad(cell, i === row.length - 1 ? 0 : (widths[i] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function cleanCell(cell: Cell): Cell {
  const words = clean(cell.words);
  return { ...cell, words: words === '' ? '-' : words };
}

/** The style ends before the padding, so that underlined cells do not underline the gap. */
function pad(cell: Cell, width: number): string {
  const styled = cell.style === undefined ? cell.words : paint(cell.style, cell.words);
  return styled + ' '.repeat(Math.max(0, width - cell.words.length));
}

/** Lines `name   value`, for the page of one thing; what is empty is left out. */
export function fields(pairs: readonly (readonly [string, string])[]): string {
  const shown = pairs.filter(([, value]) => value !== '');
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${paint('dim', name.padEnd(width))}  ${clean(value)}`).join('\n');
}

/** How far an RFC 3339 instant lies from now: `in 8 min`, `3 days ago`; empty when there is none. */
export function distance(instant: string, now: number): string {
  const at = Date.parse(instant);
  if (Number.isNaN(at)) return '';
  const words = duration(Math.abs(at - now) / 1000);
  return at >= now ? `in ${words}` : `${words} ago`;
}

/** Seconds in the largest unit that says enough. */
export function duration(seconds: number): string {
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 6000) return `${Number((seconds / 60).toFixed(seconds < 600 ? 1 : 0))} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}
