/** The code that a person types for a device (RFC 8628 section 6.1): letters that spell no words and are not mistaken. */
import type { Random } from '../ports/random.ts';

const LETTERS = 'BCDFGHJKLMNPQRSTVWXZ';
const LENGTH = 8;

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
