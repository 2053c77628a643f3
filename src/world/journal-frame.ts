/**
 * How the journal writes: one line a frame, `j1 <bytes of the JSON> <16 hex of its SHA-256> <JSON>`. A line that was
 * torn or damaged is recognised by length and digest, and reading goes on at the next line.
 */
import { hash } from 'node:crypto';
import type { ReceivedLink } from '../core/chain-event.ts';
import type { AppId, GrantId, LinkId } from '../core/id.ts';
import type { Instant, Moment } from '../core/instant.ts';
import type { Fingerprint, Sealed } from '../core/secret.ts';
import type { JournalRecord, NoteRecord } from '../ports/journal.ts';

/** Of a record that is settled, whether it gave tokens. */
export type Gave = 'tokens' | 'nothing';

export type Frame =
  /** The first of a segment: what would otherwise have to be looked for in all segments before it. */
  | { readonly type: 'head'; readonly settledUpTo: number; readonly told: number; readonly at: Instant }
  /** `gave`: the record was settled when this copy of it was made. */
  | { readonly type: 'record'; readonly number: number; readonly record: JournalRecord; readonly gave?: Gave }
  | { readonly type: 'done'; readonly number: number; readonly gave: Gave; readonly at: Instant }
  | { readonly type: 'told'; readonly number: number };

/** Of versions that did not number their records. */
export type OldFrame =
  | { readonly type: 'received'; readonly record: JournalRecord }
  | { readonly type: 'settled'; readonly link: LinkId; readonly at: Instant };

export interface Placed {
  readonly frame: Frame | OldFrame;
  readonly offset: number;
  readonly bytes: number;
}

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
export const NEWLINE = 0x0a;
/** As `encode` begins the line of a record. */
const RECORD_LINE = /^j1 \d{1,9} [0-9a-f]{16} \{"type":"record","number":(\d{1,15}),/;
/** And those of all other frames. */
const OTHER_LINE = /^j1 \d{1,9} [0-9a-f]{16} \{"type":"(head|done|told)",/;
const RECORD_LINE_BYTES = 96;

export function encode(frame: Frame | OldFrame): Buffer {
  const json = Buffer.from(JSON.stringify(frame), 'utf8');
  return Buffer.concat([Buffer.from(`${FORMAT} ${json.length} ${digest(json)} `), json, Buffer.from([NEWLINE])]);
}

/** Everything readable, and where it was not. */
export function decodeAll(bytes: Buffer): { readonly placed: readonly Placed[]; readonly damages: readonly Damage[] } {
  const damages: Damage[] = [];
  return { placed: [...decodeEach(bytes, (damage) => damages.push(damage))], damages };
}

/** The same one by one: whoever looks at each once needs memory for one. */
export function* decodeEach(bytes: Buffer, onDamage: (damage: Damage) => void): Generator<Placed> {
  for (let offset = 0; offset < bytes.length; ) {
    const newline = bytes.indexOf(NEWLINE, offset);
    const end = newline === -1 ? bytes.length : newline;
    const frame = newline === -1 ? null : decode(bytes.subarray(offset, end));
    if (frame) yield { frame, offset, bytes: end - offset };
    else onDamage({ offset, bytes: end - offset, isTorn: end + 1 >= bytes.length });
    offset = end + 1;
  }
}

/**
 * Where records begin, by the looks of their lines alone: to be decoded before they are believed; and what looks like
 * nothing that was written.
 */
export function recordLines(bytes: Buffer): {
  readonly found: readonly { readonly number: number; readonly offset: number }[];
  readonly damages: readonly Damage[];
} {
  const found: { number: number; offset: number }[] = [];
  const damages: Damage[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    const start = bytes.toString('latin1', offset, offset + RECORD_LINE_BYTES);
    const newline = bytes.indexOf(NEWLINE, offset);
    const end = newline === -1 ? bytes.length : newline;
    const number = RECORD_LINE.exec(start)?.[1];
    if (number !== undefined) found.push({ number: Number(number), offset });
    else if (!OTHER_LINE.test(start)) damages.push({ offset, bytes: end - offset, isTorn: end + 1 >= bytes.length });
    offset = end + 1;
  }
  return { found, damages };
}

/** One line without its end; null where it is not what was written, or this version does not know it. */
export function decode(line: Buffer): Frame | OldFrame | null {
  const head = LINE.exec(line.subarray(0, 64).toString('latin1'));
  if (!head) return null;
  const json = line.subarray(head[0].length);
  if (json.length !== Number(head[1]) || digest(json) !== head[2]) return null;
  return parseFrame(JSON.parse(json.toString('utf8')));
}

function digest(json: Uint8Array): string {
  return hash('sha256', json, 'hex').slice(0, DIGEST_CHARACTERS);
}

/** The digest says that we wrote it; what is checked here is that this version knows it. */
function parseFrame(value: unknown): Frame | OldFrame | null {
  if (!isObject(value)) return null;
  const { type, number, at, told, settledUpTo, link, gave } = value;
  const record = type === 'record' || type === 'received' ? parseJournalRecord(value.record) : null;
  switch (type) {
    case 'head':
      if (typeof settledUpTo !== 'number' || typeof told !== 'number' || typeof at !== 'number') return null;
      return { type, settledUpTo, told, at: at as Instant };
    case 'record':
      if (!record || typeof number !== 'number') return null;
      return { type, number, record, ...(isGave(gave) ? { gave } : {}) };
    case 'done':
      if (typeof number !== 'number' || !isGave(gave) || typeof at !== 'number') return null;
      return { type, number, gave, at: at as Instant };
    case 'told':
      return typeof number === 'number' ? { type, number } : null;
    case 'received':
      return record && { type, record };
    case 'settled':
      if (typeof link !== 'string' || typeof at !== 'number') return null;
      return { type, link: link as LinkId, at: at as Instant };
    default:
      return null;
  }
}

function isGave(value: unknown): value is Gave {
  return value === 'tokens' || value === 'nothing';
}

/** What is only noted: it is not synced by itself, and never counts as unsettled. */
export function isNote({ purpose }: JournalRecord): boolean {
  return purpose === 'intent' || purpose === 'unsent';
}

/** Null where it is no record of a journal. */
export function parseJournalRecord(value: unknown): JournalRecord | null {
  if (!isObject(value)) return null;
  const { grant, link, node, purpose, generation = null } = value;
  if (typeof grant !== 'string' || typeof link !== 'string' || typeof node !== 'string') return null;
  if (generation !== null && typeof generation !== 'number') return null;
  const ids = { grant: grant as GrantId, link: link as LinkId, node, generation };
  const at = parseMoment(value.at);
  switch (purpose) {
    case 'exchange':
    case 'authorization': {
      const answered = parseAnswered(value);
      return answered && { purpose, ...ids, ...answered };
    }
    case 'begun': {
      const begun = parseBegun(value);
      return begun && at && { purpose, ...ids, at, ...begun };
    }
    case 'ended':
    case 'removed':
      return at && { purpose, ...ids, at };
    case 'intent':
    case 'unsent':
      return at && parseNote(value, ids, at);
    default:
      return null;
  }
}

function parseNote(
  { purpose, attempt, presented, sequence, run }: Readonly<Record<string, unknown>>,
  ids: Pick<NoteRecord, 'grant' | 'link' | 'node' | 'generation'>,
  at: Moment,
): NoteRecord | null {
  if (typeof attempt !== 'string') return null;
  const noted = { ...ids, at, attempt: attempt as LinkId };
  if (purpose === 'unsent') return { purpose, ...noted };
  if (typeof presented !== 'string' || typeof sequence !== 'number' || typeof run !== 'string') return null;
  return { purpose: 'intent', ...noted, presented: presented as LinkId, sequence, run };
}

function parseAnswered(value: Readonly<Record<string, unknown>>) {
  const { presented, sequence, answer } = value;
  const requestedAt = parseMoment(value.requestedAt);
  const receivedAt = parseMoment(value.receivedAt);
  if (typeof answer !== 'string' || !requestedAt || !receivedAt) return null;
  if ((presented !== null && typeof presented !== 'string') || (sequence !== null && typeof sequence !== 'number')) {
    return null;
  }
  return { presented: presented as LinkId | null, sequence, requestedAt, receivedAt, answer: answer as Sealed };
}

function parseBegun(value: Readonly<Record<string, unknown>>) {
  const { by, answer, app, grantBody, appBody } = value;
  const received = parseReceived(value.received);
  if ((by !== 'code' && by !== 'import') || !received || typeof answer !== 'string') return null;
  if (typeof app !== 'string' || typeof grantBody !== 'string' || typeof appBody !== 'string') return null;
  return { by, received, answer: answer as Sealed, app: app as AppId, grantBody, appBody } as const;
}

function parseReceived(value: unknown): (ReceivedLink & { readonly fingerprint: Fingerprint }) | null {
  if (!isObject(value)) return null;
  const { id, fingerprint, node, accessTokenLifeMs, scope } = value;
  const requestedAt = parseMoment(value.requestedAt);
  const receivedAt = parseMoment(value.receivedAt);
  if (typeof id !== 'string' || typeof fingerprint !== 'string' || typeof node !== 'string') return null;
  if (!requestedAt || !receivedAt || (scope !== null && typeof scope !== 'string')) return null;
  if (accessTokenLifeMs !== null && typeof accessTokenLifeMs !== 'number') return null;
  const moments = { requestedAt, receivedAt };
  return { id: id as LinkId, fingerprint: fingerprint as Fingerprint, node, ...moments, accessTokenLifeMs, scope };
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
