/** One-time codes of authenticator apps: RFC 6238 over RFC 4226, and the base32 of RFC 4648 that their secrets use. */
import { createHmac } from 'node:crypto';
import type { Instant } from './instant.ts';

export interface TotpRule {
  readonly digits: 6 | 8;
  readonly stepMs: number;
  readonly algorithm: 'sha1' | 'sha256' | 'sha512';
}

/** What nearly every provider uses; authenticator apps assume it. */
export const USUAL_TOTP: TotpRule = { digits: 6, stepMs: 30_000, algorithm: 'sha1' };

/** The code of a secret at an instant (RFC 6238 section 4). */
export function totp(secret: Uint8Array, now: Instant, rule: TotpRule = USUAL_TOTP): string {
  return hotp(secret, Math.floor(now / rule.stepMs), rule);
}

/** RFC 4226 section 5.3. */
function hotp(secret: Uint8Array, counter: number, { digits, algorithm }: TotpRule): string {
  const message = Buffer.alloc(8);
  message.writeBigUInt64BE(BigInt(counter));
  const mac = createHmac(algorithm, secret).update(message).digest();
  const offset = (mac.at(-1) ?? 0) & 15;
  const code = (mac.readUInt32BE(offset) & 0x7fff_ffff) % 10 ** digits;
  return String(code).padStart(digits, '0');
}

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** Reads a secret as people paste it: any case, with spaces, dashes or padding. Null where it is no base32. */
export function fromBase32(text: string): Uint8Array | null {
  const letters = text.toUpperCase().replaceAll(/[\s-]/g, '').replace(/=+$/, '');
  if (letters === '' || !/^[A-Z2-7]+$/.test(letters)) return null;
  const bits = Array.from(letters, (letter) => BASE32.indexOf(letter).toString(2).padStart(5, '0')).join('');
  return Uint8Array.from(bits.match(/.{8}/g) ?? [], (byte) => Number.parseInt(byte, 2));
}

export function toBase32(bytes: Uint8Array): string {
  const bits = Array.from(bytes, (byte) => byte.toString(2).padStart(8, '0')).join('');
  const groups = bits.match(/.{1,5}/g) ?? [];
  return groups.map((group) => BASE32.charAt(Number.parseInt(group.padEnd(5, '0'), 2))).join('');
}
