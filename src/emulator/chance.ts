/**
 * Seeded chance: the same seed, purpose and count always give the same bytes. Purposes are separate streams, so that
 * a fault that is drawn does not change the tokens that follow.
 */
import { createHash, hash } from 'node:crypto';

export class Chance {
  readonly #seed: string;
  readonly #counts = new Map<string, number>();

  constructor(seed: number | string) {
    this.#seed = String(seed);
  }

  bytes(purpose: string, length: number): Uint8Array {
    return this.#next(purpose, length, 'buffer');
  }

  /** base64url text of so many characters. */
  text(purpose: string, characters: number): string {
    return this.#next(purpose, Math.ceil((characters * 3) / 4), 'base64url').slice(0, characters);
  }

  /** SHAKE-128 gives as many bytes as are wanted in one go. */
  #next(purpose: string, outputLength: number, outputEncoding: 'buffer'): Buffer;
  #next(purpose: string, outputLength: number, outputEncoding: 'base64url'): string;
  #next(purpose: string, outputLength: number, outputEncoding: 'buffer' | 'base64url'): Buffer | string {
    const count = (this.#counts.get(purpose) ?? 0) + 1;
    this.#counts.set(purpose, count);
    return hash('shake128', `${this.#seed}|${purpose}|${count}`, { outputLength, outputEncoding });
  }

  /** RFC 9562 version 4. */
  guid(purpose: string): string {
    const bytes = Buffer.from(this.bytes(purpose, 16));
    bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x40, 6);
    bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
    return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  }

  /** At least 0, below 1. */
  fraction(purpose: string): number {
    return Buffer.from(this.bytes(purpose, 4)).readUInt32BE() / 2 ** 32;
  }
}

/** How the ledger names a token or code without showing it. */
export function fingerprint(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12);
}
