/** The code that a person types for a device (RFC 8628 section 6.1): letters that spell no words and are not mistaken. */
import type { Random } from '../ports/random.ts';

const LETTERS = 'BCDFGHJKLMNPQRSTVWXZ';
const LENGTH = 8;
/** Of an IPv6 address. */
const GROUPS = 8;

/** Like `WDJB-MJHT`. */
export function newUserCode(random: Random): string {
  let code = '';
  while (code.length < LENGTH) {
    for (const byte of random.bytes(LENGTH)) {
      // 240 is the largest multiple of 20 that a byte can have: every letter is as likely.
      if (byte < 240 && code.length < LENGTH) code += LETTERS.charAt(byte % LETTERS.length);
    }
  }
  return `${code.slice(0, LENGTH / 2)}-${code.slice(LENGTH / 2)}`;
}

/** As it is compared: whatever case and separators a person types. */
export function plainUserCode(text: string): string {
  return text.toUpperCase().replaceAll(/[^A-Z]/g, '');
}

/** Whom guesses are counted for: an address of IPv4, or the network of IPv6 in which one host has all addresses (RFC 4291). */
export function networkOf(address: string): string {
  const [, mapped] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address) ?? [];
  if (mapped !== undefined || !address.includes(':')) return mapped ?? address;
  const [left = [], right = []] = address.split('::').map((part) => part.split(':').filter(Boolean));
  const zeros = Array.from({ length: Math.max(0, GROUPS - left.length - right.length) }, () => '0');
  return [...left, ...zeros, ...right].slice(0, GROUPS / 2).join(':');
}
