/** Chance from a seed: the same seed gives the same draws on every machine. Unfit for secrets. sfc32, by Chris Doty-Humphrey. */
import type { Random } from '../ports/random.ts';

export class Chance implements Random {
  #a: number;
  #b: number;
  #c: number;
  #count = 1;

  constructor(seed: string) {
    // FNV-1a, three times from different starts.
    this.#a = hashText(seed, 0x811c9dc5);
    this.#b = hashText(seed, 0x01000193);
    this.#c = hashText(seed, 0x9e3779b9);
    for (let i = 0; i < 12; i++) this.word();
  }

  /** A stream of its own: what others draw does not change it. */
  static of(...seed: readonly (string | number)[]): Chance {
    return new Chance(seed.join(' '));
  }

  /** 32 bits. */
  word(): number {
    const sum = (this.#a + this.#b + this.#count) | 0;
    this.#count = (this.#count + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    return sum >>> 0;
  }

  /** From 0 to 1, 1 excluded. */
  share(): number {
    return this.word() / 4_294_967_296;
  }

  occurs(rate: number): boolean {
    return rate > 0 && this.share() < rate;
  }

  between(least: number, most: number): number {
    return least + Math.floor(this.share() * (most - least + 1));
  }

  pick<T>(from: readonly T[]): T {
    const found = from[this.between(0, from.length - 1)];
    if (found === undefined) throw new Error('nothing to pick from');
    return found;
  }

  bytes(count: number): Uint8Array {
    const bytes = new Uint8Array(count);
    for (let i = 0; i < count; i += 4) {
      const word = this.word();
      bytes[i] = word;
      bytes[i + 1] = word >>> 8;
      bytes[i + 2] = word >>> 16;
      bytes[i + 3] = word >>> 24;
    }
    return bytes;
  }
}

export function hashText(text: string, start: number): number {
  let hash = start;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
