/**
 * How the journal writes: one line a frame, `j1 <bytes of the JSON> <16 hex of its SHA-256> <JSON>`. A line that was
 * torn or damaged is recognised by length and digest, and reading goes on at the next line.
 */
import { createHash } from 'node:crypto';
import type { GrantId, LinkId } from '../core/id.ts';
import type { Instant, Moment } from '../core/instant.ts';
import type { Sealed } from '../core/secret.ts';
import type { JournalRecord } from '../ports/journal.ts';

export type Frame =
  | { readonly type: 'received'; readonly record: JournalRecord }
  /** The store has it since then. */
  | { readonly type: 'settled'; readonly link: LinkId; readonly at: Instant };

export interface Damage {
  /** Where the unreadable line begins. */
  readonly offset: number;
  readonly bytes: number;
  /** The last line: a write that was cut off, whose caller never heard that it was kept. */
  readonly isTorn: boolean;
}

const FORMAT = 'j1';
const LINE = /^j1 (\d{1,9}) ([0-9a-f]{16}) /;
const DIGEST_CHARACTERS = 16;
const NEWLINE = 0x0a;

export function encode(frame: Frame): Buffer {
  const json = Buffer.from(JSON.stringify(frame), 'utf8');
  return Buffer.concat([Buffer.from(`${FORMAT} ${json.length} ${digest(json)} `), json, Buffer.from([NEWLINE])]);
}

/** Everything readable, and where it was not. */
export function decodeAll(bytes: Buffer): { readonly frames: readonly Frame[]; readonly damages: readonly Damage[] } {
  const frames: Frame[] = [];
  const damages: Damage[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    const newline = bytes.indexOf(NEWLINE, offset);
    const end = newline === -1 ? bytes.length : newline;
    const frame = newline === -1 ? null : decode(bytes.subarray(offset, end));
    const isLast = end + 1 >= bytes.length;
    if (frame) frames.push(frame);
    else damages.push({ offset, bytes: end - offset, isTorn: isLast });
    offset = end + 1;
  }
  return { frames, damages };
}

function decode(line: Buffer): Frame | null {
  const head = LINE.exec(line.subarray(0, 64).toString('latin1'));
  if (!head) return null;
  const json = line.subarray(head[0].length);
  if (json.length !== Number(head[1]) || digest(json) !== head[2]) return null;
  return parseFrame(JSON.parse(json.toString('utf8')));
}

function digest(json: Uint8Array): string {
  return createHash('sha256').update(json).digest('hex').slice(0, DIGEST_CHARACTERS);
}

/** The digest says that we wrote it; what is checked here is that this version knows it. */
function parseFrame(value: unknown): Frame | null {
  if (!isObject(value)) return null;
  if (value.type === 'settled') {
    const { link, at } = value;
    if (typeof link !== 'string' || typeof at !== 'number') return null;
    return { type: 'settled', link: link as LinkId, at: at as Instant };
  }
  return value.type === 'received' ? parseReceived(value.record) : null;
}

function parseReceived(value: unknown): Frame | null {
  if (!isObject(value)) return null;
  const { grant, link, purpose, presented, sequence, node, answer } = value;
  const requestedAt = parseMoment(value.requestedAt);
  const receivedAt = parseMoment(value.receivedAt);
  if (typeof grant !== 'string' || typeof link !== 'string' || typeof node !== 'string') return null;
  if ((purpose !== 'exchange' && purpose !== 'authorization') || typeof answer !== 'string') return null;
  if (!requestedAt || !receivedAt) return null;
  if ((presented !== null && typeof presented !== 'string') || (sequence !== null && typeof sequence !== 'number')) {
    return null;
  }
  const ids = { grant: grant as GrantId, link: link as LinkId, presented: presented as LinkId | null, sequence, node };
  return { type: 'received', record: { ...ids, purpose, requestedAt, receivedAt, answer: answer as Sealed } };
}

function parseMoment(value: unknown): Moment | null {
  if (!isObject(value)) return null;
  const { at, boot, uptimeMs } = value;
  if (typeof at !== 'number' || typeof boot !== 'string' || typeof uptimeMs !== 'number') return null;
  return { at: at as Instant, boot, uptimeMs };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
