/**
 * Answers of token endpoints as they are kept: the raw bytes and what is needed to read them, sealed. They are sealed
 * and journaled before anyone looks inside, so no answer can be lost to a parser that dislikes it.
 */
import type { GrantId, LinkId } from '../core/id.ts';
import { Secret, type Sealed } from '../core/secret.ts';
import type { HttpAnswer } from '../ports/network.ts';
import type { SealedPlace, Sealer } from '../ports/sealer.ts';

/** From the wire, or (for imports) tokens that someone brought. */
export type KeptAnswer =
  | ({ readonly from: 'wire' } & Pick<HttpAnswer, 'status' | 'headers' | 'body' | 'complete'>)
  | { readonly from: 'import'; readonly refreshToken: string; readonly accessToken: string | null };

/** Headers that later reading may need; the rest is not kept. */
const KEPT_HEADERS = ['content-type', 'retry-after', 'date', 'reason'];

export function keepable(answer: HttpAnswer): KeptAnswer {
  const headers: Record<string, string> = {};
  for (const name in answer.headers) if (KEPT_HEADERS.includes(name)) headers[name] = answer.headers[name] ?? '';
  return { from: 'wire', status: answer.status, headers, body: answer.body, complete: answer.complete };
}

export function sealAnswer(sealer: Sealer, grant: GrantId, link: LinkId, answer: KeptAnswer): Sealed {
  return sealer.seal(new Secret('answer of a token endpoint', encode(answer)), placeOf(grant, link));
}

/** Throws `SealBroken` where the blob does not belong to this grant and link, or was altered. */
export function openAnswer(sealer: Sealer, grant: GrantId, link: LinkId, sealed: Sealed): KeptAnswer {
  return decode(sealer.open(sealed, 'answer of a token endpoint', placeOf(grant, link)).reveal());
}

/** Whether this is what was sealed. Throws as above. */
export function isSealed(sealer: Sealer, grant: GrantId, link: LinkId, sealed: Sealed, answer: KeptAnswer): boolean {
  const kept = sealer.open(sealed, 'answer of a token endpoint', placeOf(grant, link)).reveal();
  const text = encode(answer);
  // Read only where it was written in another way, as by an older version.
  return kept === text || encode(decode(kept)) === text;
}

function placeOf(grant: GrantId, link: LinkId): SealedPlace {
  return { table: 'answers', row: `${grant}/${link}`, field: 'answer' };
}

function encode(answer: KeptAnswer): string {
  return JSON.stringify(answer.from === 'wire' ? { ...answer, body: bytesOf(answer.body).toString('base64') } : answer);
}

/** The same bytes, not copied. */
function bytesOf(body: Uint8Array): Buffer {
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength);
}

function decode(text: string): KeptAnswer {
  const kept = JSON.parse(text) as KeptAnswer | (KeptAnswer & { from: 'wire'; body: string });
  if (kept.from === 'import') return kept;
  const bytes = Buffer.from(String(kept.body), 'base64');
  return { ...kept, body: new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
}
