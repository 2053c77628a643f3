/**
 * Seeded chance: the same seed, purpose and count always give the same bytes. Purposes are separate streams, so that
 * a fault that is drawn does not change the tokens that follow.
 */
import { createHash } from 'node:crypto';

export class Chance {
  readonly #seed: string;
  readonly #counts = new Map<string, number>();

  constructor(seed: number | string) {
    this.#seed = String(seed);
  }

  bytes(purpose: string, length: number): Uint8Array {
    const count = (this.#counts.get(purpose) ?? 0) + 1;
    this.#counts.set(purpose, count);
    const out = Buffer.alloc(Math.ceil(length / 32) * 32);
    for (let block = 0; block * 32 < length; block++) {
      createHash('sha256')
        .update(`${this.#seed}|${purpose}|${count}|${block}`)
        .digest()
        .copy(out, block * 32);
    }
    return out.subarray(0, length);
  }

  /** base64url text of so many characters. */
  text(purpose: string, characters: number): string {
    return Buffer.from(this.bytes(purpose, characters)).toString('base64url').slice(0, characters);
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
