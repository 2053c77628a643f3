/**
 * Every token that was issued, by its text. A token carries its own number in its last characters: a map with long
 * texts as keys would cost more than the rest of an exchange. State: grows by each token.
 */
import { Rows } from './rows.ts';

/** Twice the number of a token among those of its kind, and one more where it is an access token. */
export type TokenId = number;

export interface Token {
  readonly id: TokenId;
  readonly text: string;
}

/** What was presented: by its id where it is a token that was issued here, else as it came. */
export type Presented = TokenId | string;

export const isRefreshToken = (id: TokenId): boolean => id % 2 === 0;

export class Register {
  readonly #refreshTokens = new Texts();
  readonly #accessTokens = new Texts();

  /** The text as it is issued: its end gives way to its number. */
  addRefreshToken(wish: string): Token {
    const { number, text } = this.#refreshTokens.add(wish);
    return { id: 2 * number, text };
  }

  addAccessToken(wish: string): Token {
    const { number, text } = this.#accessTokens.add(wish);
    return { id: 2 * number + 1, text };
  }

  textOf(id: TokenId): string {
    return isRefreshToken(id) ? this.#refreshTokens.at(id / 2) : this.#accessTokens.at((id - 1) / 2);
  }

  find(text: string): TokenId | null {
    const number = numberIn(text);
    if (number === null) return null;
    if (this.#refreshTokens.has(number, text)) return 2 * number;
    return this.#accessTokens.has(number, text) ? 2 * number + 1 : null;
  }
}

/** Of six bits each: more tokens than memory can hold. */
const DIGITS = 5;
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const VALUES = new Int8Array(128).fill(-1);
for (let i = 0; i < ALPHABET.length; i++) VALUES[ALPHABET.charCodeAt(i)] = i;

/** Texts are kept so many bytes at a time, outside of the heap that is collected; none is longer than that. */
const BYTES_AT_ONCE = 65_536;

const START = 0;
const LENGTH = 1;

/** ASCII, as all tokens are (RFC 6749 appendix A). */
class Texts {
  readonly #parts: Buffer[] = [];
  readonly #places = new Rows(2);
  #count = 0;
  #end = 0;

  add(wish: string): { readonly number: number; readonly text: string } {
    const number = this.#count++;
    const text = wish.slice(0, -DIGITS) + spelled(number);
    const isFull = this.#end + text.length > this.#parts.length * BYTES_AT_ONCE;
    const start = isFull ? this.#parts.length * BYTES_AT_ONCE : this.#end;
    if (isFull) this.#parts.push(Buffer.allocUnsafeSlow(BYTES_AT_ONCE));
    this.#parts.at(-1)?.write(text, start % BYTES_AT_ONCE, 'latin1');
    this.#places.set(number, START, start);
    this.#places.set(number, LENGTH, text.length);
    this.#end = start + text.length;
    return { number, text };
  }

  at(number: number): string {
    const start = this.#places.get(number, START);
    const from = start % BYTES_AT_ONCE;
    const part = this.#parts[Math.floor(start / BYTES_AT_ONCE)];
    return part?.toString('latin1', from, from + this.#places.get(number, LENGTH)) ?? '';
  }

  has(number: number, text: string): boolean {
    return number < this.#count && this.#places.get(number, LENGTH) === text.length && this.at(number) === text;
  }
}

/** The digit that changes most comes first, so that neighbours differ in more than their last character. */
function spelled(number: number): string {
  const code = (digit: number) => ALPHABET.charCodeAt((number >>> (6 * digit)) & 63);
  return String.fromCharCode(code(0), code(1), code(2), code(3), code(4));
}

function numberIn(text: string): number | null {
  let number = 0;
  for (let i = text.length - 1; i >= text.length - DIGITS; i--) {
    const value = VALUES[text.charCodeAt(i)] ?? -1;
    if (value < 0) return null;
    number = number * 64 + value;
  }
  return number;
}
