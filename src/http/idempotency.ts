/**
 * `Idempotency-Key` on every POST: the same key and body give the same answer again for a day.
 *
 * States of a key: free → running → done → (after a day) free. A failure of ours (5xx) frees it, for the next try may
 * succeed; so does a run that ended without an answer, after a while. Answers are kept sealed, for some hold secrets.
 */
import { createHash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { EvergrantError } from '../core/errors.ts';
import { newId } from '../core/id.ts';
import { type Sealed, Secret } from '../core/secret.ts';
import type { SealedPlace } from '../ports/sealer.ts';
import type { StoredRecord, Term } from '../ports/store.ts';
import type { HttpParts, Routes } from './parts.ts';
import { invalidRequest } from './problem.ts';

const LIFE_MS = 86_400_000;
/** Longer than any request takes: a run that is older was cut off. */
const LONGEST_RUN_MS = 300_000;
const SWEEP_EVERY_MS = 600_000;
const SWEEP_COUNT = 100;
const KEY = /^[\x21-\x7e]{1,255}$/;
/** Of the answer's headers, those that a repetition must have too. */
const KEPT_HEADERS = ['content-type', 'location', 'retry-after', 'cache-control', 'pragma'] as const;

const Kept = z.object({
  createdAt: z.number(),
  /** Keyed digest of the request's body. */
  body: z.string(),
  answer: z.object({ status: z.int(), headers: z.record(z.string(), z.string()), sealed: z.string() }).nullable(),
});
type Kept = z.infer<typeof Kept>;

/** A key that this request holds while it runs. */
export interface Reservation {
  readonly id: string;
  readonly version: number;
  readonly kept: Kept;
  readonly term: Term;
}

/** Guards all POSTs of these routes. */
export function guardPosts(routes: Routes, parts: HttpParts): void {
  let sweptAt = 0;
  routes.addHook('preValidation', async (request, reply) => {
    const key = request.method === 'POST' ? request.headers['idempotency-key'] : undefined;
    if (key === undefined) return;
    if (typeof key !== 'string' || !KEY.test(key)) {
      throw invalidRequest('Idempotency-Key: must be 1 to 255 printable ASCII characters.');
    }
    if (parts.clock.now() - sweptAt > SWEEP_EVERY_MS) {
      sweptAt = parts.clock.now();
      await sweep(parts);
    }
    const replayed = await reserve(parts, request, key);
    if (replayed) return replay(parts, reply, replayed);
  });
  routes.addHook('onSend', async (request, reply, payload) => {
    if (request.reservation) await settle(parts, request.reservation, reply, payload);
    return payload;
  });
}

/** Holds the key for this request, or gives the record whose answer is to be repeated. */
async function reserve(parts: HttpParts, request: FastifyRequest, key: string): Promise<StoredRecord | null> {
  const kept: Kept = { createdAt: parts.clock.now(), body: bodyFingerprint(parts, request), answer: null };
  const term: Term = { name: 'scope', value: scopeOf(request, key), unique: true };
  const id = newId('idm', parts.clock.now(), parts.random.bytes(16));
  const written = await parts.records.insert('idempotency', id, JSON.stringify(kept), [term]);
  if (written.outcome === 'written') {
    request.reservation = { id, version: written.version, kept, term };
    return null;
  }
  const earlier = await parts.records.get('idempotency', written.by);
  // Freed between the two queries: as if it still ran, the next try finds it free.
  if (!earlier) throw inProgress();
  return takeUp(parts, request, earlier, { kept, term });
}

/** What an earlier request with this key means for this one. */
async function takeUp(
  parts: HttpParts,
  request: FastifyRequest,
  earlier: StoredRecord,
  mine: { readonly kept: Kept; readonly term: Term },
): Promise<StoredRecord | null> {
  const theirs = Kept.parse(JSON.parse(earlier.body));
  const ageMs = parts.clock.now() - theirs.createdAt;
  if (ageMs <= (theirs.answer ? LIFE_MS : LONGEST_RUN_MS)) {
    if (theirs.body !== mine.kept.body) throw mismatch();
    if (!theirs.answer) throw inProgress();
    return earlier;
  }
  const { id, version } = earlier;
  const body = JSON.stringify(mine.kept);
  const written = await parts.records.update('idempotency', id, version, body, [mine.term]);
  if (written.outcome !== 'written') throw inProgress();
  request.reservation = { id, version: written.version, ...mine };
  return null;
}

/** Keeps the answer before it is sent. That it cannot be kept must not take it from the caller. */
async function settle(
  parts: HttpParts,
  { id, version, kept, term }: Reservation,
  reply: FastifyReply,
  payload: unknown,
): Promise<void> {
  try {
    if (reply.statusCode >= 500) {
      await parts.records.remove('idempotency', id);
      return;
    }
    const text = typeof payload === 'string' || Buffer.isBuffer(payload) ? payload.toString() : '';
    const sealed = parts.sealer.seal(new Secret('answer of a token endpoint', text), placeOf(id));
    const answer = { status: reply.statusCode, headers: keptHeaders(reply), sealed };
    await parts.records.update('idempotency', id, version, JSON.stringify({ ...kept, answer }), [term]);
  } catch (error) {
    parts.log.warn('the answer to an Idempotency-Key could not be kept', { id, error: String(error) });
  }
}

async function replay(parts: HttpParts, reply: FastifyReply, record: StoredRecord): Promise<FastifyReply> {
  const { answer } = Kept.parse(JSON.parse(record.body));
  if (!answer) throw inProgress();
  const text = parts.sealer.open(answer.sealed as Sealed, 'answer of a token endpoint', placeOf(record.id)).reveal();
  return reply
    .code(answer.status)
    .headers({ ...answer.headers, 'idempotency-replayed': 'true' })
    .serializer((body) => String(body))
    .send(text);
}

function keptHeaders(reply: FastifyReply): Record<string, string> {
  return Object.fromEntries(
    KEPT_HEADERS.flatMap((name) => {
      const value = reply.getHeader(name);
      return value === undefined ? [] : [[name, String(value)] as const];
    }),
  );
}

function placeOf(row: string): SealedPlace {
  return { table: 'idempotency', row, field: 'answer' };
}

/** A key belongs to one caller, method and path. */
function scopeOf(request: FastifyRequest, key: string): string {
  const scope = JSON.stringify([request.caller?.id ?? null, request.method, request.url, key]);
  return createHash('sha256').update(scope).digest('base64url');
}

/** Keyed, so that a short secret in a body cannot be guessed from what is stored. */
function bodyFingerprint({ sealer }: HttpParts, { body }: FastifyRequest): string {
  return sealer.fingerprint(new Secret('answer of a token endpoint', JSON.stringify(body ?? null)));
}

/** Removes the oldest records that are over; ids sort by time. */
async function sweep({ records, clock, log }: HttpParts): Promise<void> {
  try {
    const { items } = await records.list('idempotency', { limit: SWEEP_COUNT, after: null });
    for (const { id, body } of items) {
      // One whose key was used anew is younger than its id: those after it may be over all the same.
      const isOver = clock.now() - Kept.parse(JSON.parse(body)).createdAt > LIFE_MS;
      if (isOver) await records.remove('idempotency', id);
    }
  } catch (error) {
    log.warn('old answers to Idempotency-Keys could not be removed', { error: String(error) });
  }
}

function mismatch(): EvergrantError {
  return new EvergrantError('idempotency_mismatch', 'This Idempotency-Key was used with another body.', {
    remedy: 'Use a new key for a new request.',
  });
}

function inProgress(): EvergrantError {
  return new EvergrantError('idempotency_in_progress', 'A request with this Idempotency-Key is still under way.', {
    remedy: 'Wait for its answer, or ask again in a moment.',
    retryAfterMs: 1_000,
  });
}
