/**
 * What can be read of a JSON text that breaks off: every member whose value came whole, and nothing else. A string
 * counts once its closing quote was seen, a number once something follows it. So a token is whole or it is not there.
 */

export interface PartialJson {
  readonly value: unknown;
  /** False when the value broke off. What follows a whole value is not looked at. */
  readonly whole: boolean;
}

/** Answers of token endpoints are flat; what is nested deeper than this is not read. */
const MAX_DEPTH = 32;
const STRING = /"[^"\\]*(?:\\.[^"\\]*)*"/sy;
const LITERAL = /(?:true|false|null|-?[0-9][0-9.eE+-]*)(?=[\s,\]}])/y;
const SPACE = /\s*/y;

/** Never throws. `value` is undefined where not even the first value is whole or begun. */
export function readPartialJson(text: string): PartialJson {
  try {
    return { value: JSON.parse(text), whole: true };
  } catch {
    return new Reader(text).read();
  }
}

/** Marks that reading ended inside a value. */
const BROKEN_OFF = Symbol('broken off');

class Reader {
  readonly #text: string;
  #at = 0;
  #ended = false;

  constructor(text: string) {
    this.#text = text;
  }

  read(): PartialJson {
    const value = this.#read(0);
    return { value: value === BROKEN_OFF ? undefined : value, whole: !this.#ended };
  }

  #read(depth: number): unknown {
    this.#take(SPACE);
    const first = this.#text[this.#at];
    if (depth > MAX_DEPTH) return this.#breakOff();
    if (first === '{') return this.#object(depth);
    if (first === '[') return this.#array(depth);
    const scalar = this.#take(first === '"' ? STRING : LITERAL);
    return scalar === null ? this.#breakOff() : this.#parsed(scalar);
  }

  #object(depth: number): Record<string, unknown> {
    // No prototype: a member called `__proto__` is a member like any other.
    const members: Record<string, unknown> = Object.create(null);
    this.#at++;
    while (!this.#ended && !this.#skip('}')) {
      const name = this.#name();
      if (typeof name !== 'string') break;
      const value = this.#read(depth + 1);
      if (value !== BROKEN_OFF) members[name] = value;
      if (!this.#ended && !this.#isSeparated('}')) this.#breakOff();
    }
    return members;
  }

  #array(depth: number): unknown[] {
    const items: unknown[] = [];
    this.#at++;
    while (!this.#ended && !this.#skip(']')) {
      const value = this.#read(depth + 1);
      if (value !== BROKEN_OFF) items.push(value);
      if (!this.#ended && !this.#isSeparated(']')) this.#breakOff();
    }
    return items;
  }

  #name(): unknown {
    this.#take(SPACE);
    const text = this.#take(STRING);
    const name = text === null ? this.#breakOff() : this.#parsed(text);
    return this.#skip(':') ? name : this.#breakOff();
  }

  #isSeparated(end: string): boolean {
    return this.#skip(',') || this.#text[this.#at] === end;
  }

  #skip(character: string): boolean {
    this.#take(SPACE);
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #take(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? null;
    if (found !== null) this.#at += found.length;
    return found;
  }

  #parsed(text: string): unknown {
    try {
      return JSON.parse(text);
    } catch {
      return this.#breakOff();
    }
  }

  #breakOff(): typeof BROKEN_OFF {
    this.#ended = true;
    return BROKEN_OFF;
  }
}
