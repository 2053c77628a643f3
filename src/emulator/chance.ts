/**
 * Seeded chance: the same seed, purpose and count always give the same bytes. Purposes are separate streams, so that
 * a fault that is drawn does not change the tokens that follow.
 */
import { type Cipheriv, createCipheriv, createHash, hash } from 'node:crypto';

/** Text is the key stream of a cipher, so much at a time: a digest for each token would cost more than the token. */
const BLOCK_CHARACTERS = 8_192;
const ZEROS = Buffer.alloc((BLOCK_CHARACTERS * 3) / 4);

export class Chance {
  readonly #seed: string;
  readonly #counts = new Map<string, number>();
  readonly #streams = new Map<string, { readonly cipher: Cipheriv; block: string; read: number }>();

  constructor(seed: number | string) {
    this.#seed = String(seed);
  }

  bytes(purpose: string, length: number): Uint8Array {
    const count = (this.#counts.get(purpose) ?? 0) + 1;
    this.#counts.set(purpose, count);
    return shake(`${this.#seed}|${purpose}|${count}`, length);
  }

  /** base64url text of so many characters, at most a block. */
  text(purpose: string, characters: number): string {
    const stream = this.#streams.get(purpose) ?? this.#begin(purpose);
    if (stream.read + characters > stream.block.length) {
      stream.block = stream.cipher.update(ZEROS).toString('base64url');
      stream.read = 0;
    }
    stream.read += characters;
    return stream.block.slice(stream.read - characters, stream.read);
  }

  #begin(purpose: string) {
    const key = shake(`${this.#seed}|${purpose}`, 16);
    const stream = { cipher: createCipheriv('aes-128-ctr', key, ZEROS.subarray(0, 16)), block: '', read: 0 };
    this.#streams.set(purpose, stream);
    return stream;
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

/** SHAKE-128 gives as many bytes as are wanted in one go. */
function shake(text: string, outputLength: number): Buffer {
  return hash('shake128', text, { outputLength, outputEncoding: 'buffer' });
}

/** How the ledger names a token or code without showing it. */
export function fingerprint(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12);
}
