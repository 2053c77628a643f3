/**
 * Every token that was issued, with its family. A token carries its own number in its last characters, as an index
 * into lists: a map with long texts as keys would cost more than the rest of an exchange. State: grows by each token.
 */

/** 64 to the power of this is more than memory can hold. */
const DIGITS = 5;
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const VALUES = new Int8Array(128).fill(-1);
for (let i = 0; i < ALPHABET.length; i++) VALUES[ALPHABET.charCodeAt(i)] = i;

export class Register {
  readonly #texts: string[] = [];
  readonly #families: string[] = [];

  /** The text as it is issued: its end gives way to its number. */
  add(text: string, family: string): string {
    const numbered = text.slice(0, -DIGITS) + spelled(this.#texts.length);
    this.#texts.push(numbered);
    this.#families.push(family);
    return numbered;
  }

  /** The text as it is kept here, if it is one of these: another copy need not be kept as well. */
  own(text: string): string | undefined {
    const number = numberIn(text);
    const own = number === null ? undefined : this.#texts[number];
    return own === text ? own : undefined;
  }

  familyOf(text: string): string | undefined {
    const number = numberIn(text);
    return number !== null && this.#texts[number] === text ? this.#families[number] : undefined;
  }
}

/** The digit that changes most comes first, so that neighbours differ in more than their last character. */
function spelled(number: number): string {
  let text = '';
  for (let rest = number, i = 0; i < DIGITS; i++, rest = Math.floor(rest / 64)) text += ALPHABET[rest % 64];
  return text;
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
