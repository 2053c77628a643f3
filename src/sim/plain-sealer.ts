/**
 * A sealer without a cipher, for speed: what it seals is encoded, so that no token stands in the store as it is, and
 * bound to its place, so that a blob that was moved or altered does not open.
 */
import { type Fingerprint, type Sealed, Secret } from '../core/secret.ts';
import { SealBroken, type SealedPlace, type Sealer } from '../ports/sealer.ts';
import { hashText } from './chance.ts';

const FORMAT = 'plain.';

export const PLAIN_SEALER: Sealer = {
  seal(secret, place) {
    const text = Buffer.from(secret.reveal(), 'utf8').toString('base64');
    return `${FORMAT}${check(text, place)}.${text}.` as Sealed;
  },
  open(sealed, kind, place) {
    const sum = sealed.indexOf('.', FORMAT.length);
    const text = sealed.slice(sum + 1, -1);
    const isWhole = sealed.startsWith(FORMAT) && sealed.endsWith('.') && sum > 0;
    if (!isWhole || sealed.slice(FORMAT.length, sum) !== check(text, place)) {
      throw new SealBroken(place, 'it was altered');
    }
    return new Secret(kind, Buffer.from(text, 'base64').toString('utf8'));
  },
  fingerprint(secret) {
    const text = secret.reveal();
    const words = `${hashText(text, 0x811c9dc5).toString(16)}${hashText(text, 0x9e3779b9).toString(16)}`;
    return words.padEnd(22, '0') as Fingerprint;
  },
};

function check(text: string, place: SealedPlace): string {
  // Ends and length of the text are enough to notice what faults do here; the whole would cost more than the exchange.
  const ends = `${text.slice(0, 24)}${text.length}${text.slice(-24)}`;
  return hashText(place.row, hashText(ends, 0x811c9dc5)).toString(16);
}
