/**
 * The refresh tokens that clients hold. Each is a family of `core/family`, the authorization server's end of rotation:
 * what presenting one gives is decided there, by the policy that the client's settings stand for.
 *
 * A durable token is its family's only one for good; presenting it moves its last use, in memory, written in batches.
 * A rotating one is exchanged in the store before the answer goes out, by compare-and-set: of two that come at once, one
 * rotates, and the other is judged by what that left.
 */
import { type Family, type FamilyToken, type Presentation, present, revoke, startFamily } from '../core/family.ts';
import { admit } from '../core/family-caps.ts';
import { type ClientId, type FamilyId, type GrantId, isId } from '../core/id.ts';
import type { Instant } from '../core/instant.ts';
import { type RefreshToken, type Sealed, Secret } from '../core/secret.ts';
import type { StoredRecord, Term } from '../ports/store.ts';
import type { Client } from './client.ts';
import type { ClientEvent, ClientEvents } from './events.ts';
import { freshId, freshText, type IssuerParts } from './parts.ts';
import { type ClientRotation, MOST_KEPT, policyOf } from './rotation.ts';
import { isGenuine, readTokenText, tokenText } from './token-text.ts';

export type AllowedBy = 'operator' | 'person';

/** The key without which a family's tokens are worth nothing, from the so-manieth on (RFC 9449 section 5). */
export interface Bound {
  /** Thumbprint of the key. */
  readonly jkt: string;
  readonly from: number;
}

/** A family with what is needed to make its tokens. */
export interface ClientToken {
  readonly id: FamilyId;
  readonly client: ClientId;
  readonly grant: GrantId;
  /** operator: the client's settings name the grant. person: somebody allowed it, and this token is the client's right. */
  readonly allowedBy: AllowedBy;
  readonly key: Sealed;
  readonly family: Family;
  /** Null: whoever has a token may use it. */
  readonly bound: Bound | null;
  /** Tokens issued so far. */
  readonly counter: number;
}

/** In memory, for as long as it is used. */
export interface Held {
  version: number;
  token: ClientToken;
  /** Its last use is not in the store yet. */
  isDirty: boolean;
  writtenAt: Instant;
}

/** A token of ours that was presented. */
export interface Found {
  readonly held: Held;
  readonly counter: number;
  readonly key: Secret<'family key'>;
}

/** Who wants to know. */
interface TokensHeard {
  /** There is a last use to be written. */
  onUse(): void;
  /** One was ended: what was found before may not be so any more. */
  onEnd(): void;
}

/** Tokens of one client for one grant, live and ended ones, that are looked at. */
const MOST_LOOKED_AT = 1_000;
const WRITTEN_AT_ONCE = 256;
const LONGEST_END_MS = 2_000;
const SWEPT_AT_ONCE = 200;
const KEPT_MS = 90 * 86_400_000;
/** No setting lets one live longer. */
const LONGEST_LIFE_MS = 10 * 366 * 86_400_000;
/** Last uses of one family are written no more often than this. */
const WRITE_EVERY_MS = 60_000;
/** Rows of a family that are kept beyond what the policy needs; what an older token means follows from its number. */
const ROWS_KEPT = 20;

export class ClientTokens {
  readonly #parts: IssuerParts;
  readonly #events: ClientEvents;
  readonly #heard: TokensHeard;
  readonly #held = new Map<FamilyId, Held>();
  readonly #decoy: ClientToken;
  #sweptTo: string | null = null;

  constructor(parts: IssuerParts, events: ClientEvents, heard: TokensHeard) {
    this.#parts = parts;
    this.#events = events;
    this.#heard = heard;
    this.#decoy = this.#fresh(freshId(parts, 'cli'), 'grt_', 'operator');
  }

  /** A new token of a client for a grant. Where there are too many, the oldest are ended. */
  async issue(
    client: Client,
    grant: GrantId,
    consentEndsAt: Instant | null,
    allowedBy: AllowedBy,
    jkt: string | null,
  ): Promise<{
    readonly id: FamilyId;
    readonly text: RefreshToken;
  }> {
    const made = this.#fresh(client.id, grant, allowedBy);
    const bound = jkt === null ? null : { jkt, from: 1 };
    const token = { ...made, family: { ...made.family, consentEndsAt }, bound };
    await this.#parts.records.insert('client-token', token.id, JSON.stringify(token), termsOf(token));
    const counters = { familyId: token.id, tokenCounter: 1, latestCounter: 1 };
    this.#events.note(client.id, { type: 'refresh_token_issued', grant, ...counters });
    await this.#cleanUp(client, token);
    return { id: token.id, text: tokenText(token.id, 1, this.#keyOf(token)) };
  }

  /**
   * The token behind a text. A text that is none takes the same steps: one read, one seal opened, one comparison.
   */
  async find(text: string): Promise<Found | null> {
    const read = readTokenText(text);
    const wanted = read ?? { family: this.#decoy.id, counter: 1, mac: '-'.repeat(43) };
    const record = await this.#parts.records.get('client-token', wanted.family);
    const token = record
      ? tokenIn(record)
      : tokenIn({ id: this.#decoy.id, version: 0, body: JSON.stringify(this.#decoy) });
    const key = this.#keyOf(token);
    const isOurs = isGenuine(wanted, key);
    if (!record || !read || !isOurs) return null;
    const held = this.#hold(record.version, token);
    if (read.counter > held.token.counter) this.#catchUp(held, read.counter);
    return { held, counter: read.counter, key };
  }

  /** A store that was restored from an older backup does not know its newest tokens; the MAC says that they are ours. */
  #catchUp(held: Held, counter: number): void {
    const { family, client } = held.token;
    const now = this.#parts.clock.now();
    const ahead = counter - held.token.counter;
    const spent = family.tokens.map((one) => ({ ...one, firstUsedAt: one.firstUsedAt ?? now, lastUsedAt: now }));
    const latestGeneration = family.latestGeneration + ahead;
    const row = {
      ...startFamily({ ...family, now, ids: { refreshToken: String(counter), accessToken: '' } }).tokens[0],
    };
    const next = { ...row, generation: latestGeneration } as FamilyToken;
    held.token = { ...held.token, counter, family: { ...family, latestGeneration, tokens: [...spent, next] } };
    this.#parts.log.warn('A refresh token is newer than the store knows, as after a restore.', { client, counter });
  }

  /** What presenting it now would give. Changes nothing. */
  judge({ held, counter }: Pick<Found, 'held' | 'counter'>, rotation: ClientRotation, asUse: boolean): Presentation {
    const { family, counter: latest } = held.token;
    const policy = policyOf(rotation, family.consentEndsAt !== null);
    const id = String(counter);
    const isKept = family.tokens.some((one) => one.id === id);
    const now = this.#parts.clock.now();
    return present(isKept ? family : { ...family, tokens: [longSpent(family, id, now), ...family.tokens] }, id, {
      policy: asUse ? policy : { ...policy, rotate: { ...policy.rotate, mode: 'never' } },
      now,
      ids: { refreshToken: String(latest + 1), accessToken: '' },
    });
  }

  /** The thumbprint of the key that must come with a token; null: it needs none. */
  keyOf({ held, counter }: Pick<Found, 'held' | 'counter'>, { mode }: ClientRotation): string | null {
    const { bound } = held.token;
    // One that is to stay has no successor that could be bound in its place.
    return bound && (mode === 'durable' || counter >= bound.from) ? bound.jkt : null;
  }

  /** Binds a family to a key from there on, unless it is bound already; in the store when this resolves. */
  async bind(found: Found, bound: Bound): Promise<void> {
    for (let { held } = found; held.token.bound === null; held = await this.#reread(held)) {
      const { client, grant, id: familyId, family } = held.token;
      if (!(await this.#write(held, family, MOST_KEPT, bound))) continue;
      this.#events.note(client, { type: 'refresh_token_bound', grant, familyId, reason: bound.jkt });
      return;
    }
  }

  /** A durable token was used: remembered here, written later. */
  touch(held: Held, after: Family): void {
    held.token = { ...held.token, family: { ...after, accessTokens: [] } };
    held.isDirty = true;
    if (!this.#held.has(held.token.id)) this.#held.set(held.token.id, held);
    this.#heard.onUse();
  }

  /**
   * Presents it. What that changed is in the store when this resolves, apart from the last use of a durable one. The
   * text is that of the token to go on with.
   */
  async present(
    found: Found,
    rotation: ClientRotation,
  ): Promise<Presentation & { readonly text: RefreshToken | null }> {
    for (let { held } = found; ; held = await this.#reread(held)) {
      const result = this.judge({ held, counter: found.counter }, rotation, true);
      const isChanged = result.outcome === 'refused' ? result.revokes !== 'nothing' : result.answer !== 'same';
      if (result.outcome === 'accepted' && !isChanged) this.touch(held, result.family);
      if (isChanged && !(await this.#write(held, result.family, rotation.keep))) continue;
      const counter = result.outcome === 'accepted' ? Number(result.refreshToken) : null;
      return { ...result, text: counter === null ? null : tokenText(held.token.id, counter, found.key) };
    }
  }

  /** The consent at the provider may have been given anew, and end later. */
  async consentEnds(held: Held, at: Instant | null): Promise<void> {
    if (held.token.family.consentEndsAt === at) return;
    await this.#write(held, { ...held.token.family, consentEndsAt: at });
  }

  async list(client: ClientId): Promise<readonly ClientToken[]> {
    const tokens: ClientToken[] = [];
    for (let after: string | null = null, isFirst = true; isFirst || after !== null; isFirst = false) {
      const terms = [{ name: 'client', value: client }];
      const page = await this.#parts.records.list('client-token', { terms, limit: 200, after });
      tokens.push(...page.items.map((record) => this.#hold(record.version, tokenIn(record)).token));
      after = page.next;
    }
    return tokens;
  }

  /** A token that this client still holds since a person allowed it this grant; null: there is none. */
  async allowing(client: ClientId, grant: GrantId): Promise<FamilyId | null> {
    const terms = [
      { name: 'client', value: client },
      { name: 'grant', value: grant },
    ];
    const { items } = await this.#parts.records.list('client-token', { terms, limit: MOST_LOOKED_AT, after: null });
    return items.map(tokenIn).find((one) => one.allowedBy === 'person' && !one.family.revoked)?.id ?? null;
  }

  /** Some of the grants that persons allowed this client: at least two, where there are so many. */
  async firstAllowed(client: ClientId): Promise<ReadonlySet<GrantId>> {
    const grants = new Set<GrantId>();
    for (let after: string | null = null, isFirst = true; isFirst || after !== null; isFirst = false) {
      const terms = [{ name: 'client', value: client }];
      const page = await this.#parts.records.list('client-token', { terms, limit: 200, after });
      for (const one of page.items.map(tokenIn)) {
        if (one.allowedBy === 'person' && !one.family.revoked) grants.add(one.grant);
      }
      after = grants.size > 1 ? null : page.next;
    }
    return grants;
  }

  /** Clients that a person allowed this grant, of so many of its tokens. */
  async allowedBy(grant: GrantId, limit: number): Promise<readonly ClientId[]> {
    const terms = [{ name: 'grant', value: grant }];
    const { items } = await this.#parts.records.list('client-token', { terms, limit, after: null });
    const allowed = items.map(tokenIn).filter((one) => one.allowedBy === 'person' && !one.family.revoked);
    return allowed.map((one) => one.client);
  }

  async get(client: ClientId, id: string): Promise<ClientToken | null> {
    const record = isId('fam', id) ? await this.#parts.records.get('client-token', id) : null;
    const token = record && tokenIn(record);
    return record && token?.client === client ? this.#hold(record.version, token).token : null;
  }

  /** Ends a family for good. */
  async end(id: FamilyId, reason: 'revoked' | 'reauthorized', event?: Partial<ClientEvent>): Promise<void> {
    for (;;) {
      const record = await this.#parts.records.get('client-token', id);
      if (!record) return;
      const held = this.#hold(record.version, tokenIn(record));
      const { family, client, grant, counter } = held.token;
      if (family.revoked) return;
      const now = this.#parts.clock.now();
      if (!(await this.#write(held, revoke(family, { reason, now, accessTokens: 'keep' })))) continue;
      const why = { grant, familyId: id, latestCounter: counter, reason, ...event };
      this.#events.note(client, { type: 'refresh_token_revoked', ...why });
      this.#heard.onEnd();
      return;
    }
  }

  /** Takes away all that a client had. */
  async removeAll(client: ClientId): Promise<void> {
    for (const { id } of await this.list(client)) {
      this.#held.delete(id);
      await this.#parts.records.remove('client-token', id);
    }
  }

  /** Writes last uses: those that are due, or all. Gives whether some are left. */
  async flush(all: boolean): Promise<boolean> {
    const now = this.#parts.clock.now();
    const due: Held[] = [];
    for (const [id, held] of this.#held) {
      if (!held.isDirty) this.#forgetIdle(id, held, now);
      else if (all || now - held.writtenAt >= WRITE_EVERY_MS) due.push(held);
    }
    // Together, so that they may share a commit.
    due.sort((a, b) => a.writtenAt - b.writtenAt);
    for (let i = 0; i < due.length; i += WRITTEN_AT_ONCE) {
      // An end is not held up for it: what is left was written a minute ago.
      if (all && this.#parts.clock.now() - now > LONGEST_END_MS) break;
      await Promise.all(due.slice(i, i + WRITTEN_AT_ONCE).map((held) => this.#writeLastUse(held)));
    }
    return this.#held.values().some((held) => held.isDirty);
  }

  /** Removes tokens that ended long ago, some at a time; until then it is known of what they ended. */
  async sweep(): Promise<void> {
    const { records, clock } = this.#parts;
    const page = await records.list('client-token', { limit: SWEPT_AT_ONCE, after: this.#sweptTo });
    this.#sweptTo = page.next;
    for (const { id, family } of page.items.map(tokenIn)) {
      const endedAt = family.revoked?.at ?? family.startedAt + LONGEST_LIFE_MS;
      if (clock.now() > endedAt + KEPT_MS) await records.remove('client-token', id);
    }
  }

  /** What nobody used for a while is read again when it is. */
  #forgetIdle(id: FamilyId, held: Held, now: Instant): void {
    if (now - held.writtenAt > 10 * WRITE_EVERY_MS) this.#held.delete(id);
  }

  async #writeLastUse(held: Held): Promise<void> {
    while (held.isDirty && !(await this.#write(held, held.token.family))) {
      const fresh = await this.#reread(held);
      // Revoked or removed meanwhile: its last use is of no account.
      if (fresh.version === 0 || fresh.token.family.revoked) held.isDirty = false;
    }
  }

  /** False when somebody else changed it; nothing is written then. */
  async #write(held: Held, family: Family, keep = MOST_KEPT, bound = held.token.bound): Promise<boolean> {
    const counter = newest(family, held.token.counter);
    const token: ClientToken = { ...held.token, family: trimmed(family, keep + ROWS_KEPT), counter, bound };
    const written = await this.#parts.records.update(
      'client-token',
      token.id,
      held.version,
      JSON.stringify(token),
      termsOf(token),
    );
    if (written.outcome !== 'written') return false;
    // A durable one may have been used while this was under way.
    const isUsedSince = lastUse(held.token.family) > lastUse(token.family);
    held.version = written.version;
    held.token = isUsedSince ? { ...token, family: withLastUse(token.family, held.token.family) } : token;
    held.isDirty = isUsedSince;
    held.writtenAt = this.#parts.clock.now();
    return true;
  }

  async #reread(held: Held): Promise<Held> {
    const record = await this.#parts.records.get('client-token', held.token.id);
    if (record) return this.#hold(record.version, tokenIn(record));
    this.#held.delete(held.token.id);
    const now = this.#parts.clock.now();
    const family = revoke(held.token.family, { reason: 'revoked', now, accessTokens: 'keep' });
    return { version: 0, token: { ...held.token, family }, isDirty: false, writtenAt: now };
  }

  /** What the store says, with the uses that it has not heard of yet. */
  #hold(version: number, token: ClientToken): Held {
    const held = this.#held.get(token.id);
    if (!held) {
      const fresh = { version, token, isDirty: false, writtenAt: this.#parts.clock.now() };
      this.#held.set(token.id, fresh);
      return fresh;
    }
    if (held.version < version) {
      held.token = held.isDirty ? { ...token, family: withLastUse(token.family, held.token.family) } : token;
      held.version = version;
    }
    return held;
  }

  async #cleanUp(client: Client, joining: ClientToken): Promise<void> {
    const all = (await this.list(client.id)).filter((one) => one.grant === joining.grant && !one.family.revoked);
    const others = all.filter((one) => one.id !== joining.id).map((one) => one.family);
    const policy = policyOf(client.rotation, false);
    const after = admit(others, joining.family, policy, this.#parts.clock.now());
    const ended = after.filter((family) => family.revoked);
    for (const family of ended) await this.end(family.id as FamilyId, 'reauthorized', { reason: 'clean-up' });
    if (ended.length === 0) return;
    const counts = { start: all.length, removedCount: ended.length, endCount: all.length - ended.length };
    this.#events.note(client.id, { type: 'refresh_tokens_cleaned_up', grant: joining.grant, ...counts });
  }

  #fresh(client: ClientId, grant: GrantId, allowedBy: AllowedBy): ClientToken {
    const id = freshId(this.#parts, 'fam');
    const key = this.#parts.sealer.seal(new Secret('family key', freshText(this.#parts)), placeOf(id));
    const now = this.#parts.clock.now();
    const ids = { refreshToken: '1', accessToken: '' };
    const family = startFamily({ id, user: grant, client, now, ids });
    return { id, client, grant, allowedBy, key, family: { ...family, accessTokens: [] }, bound: null, counter: 1 };
  }

  #keyOf(token: ClientToken): Secret<'family key'> {
    return this.#parts.sealer.open(token.key, 'family key', placeOf(token.id));
  }
}

function placeOf(id: FamilyId) {
  return { table: 'client-tokens', row: id, field: 'key' } as const;
}

function tokenIn(record: StoredRecord): ClientToken {
  return { bound: null, ...(JSON.parse(record.body) as Partial<ClientToken>) } as ClientToken;
}

function termsOf({ client, grant }: ClientToken): readonly Term[] {
  return [
    { name: 'client', value: client },
    { name: 'grant', value: grant },
  ];
}

/** A row for a token that was issued and spent so long ago that its own is gone. */
function longSpent(family: Family, id: string, now: Instant): FamilyToken {
  const at = { issuedAt: now, firstUsedAt: family.startedAt, lastUsedAt: now, activatedAt: family.startedAt };
  const generation = family.latestGeneration - MOST_KEPT - 1;
  return { id, parent: null, generation, ...at, uses: 1, displacedAt: null, evictedAt: null };
}

/** The newest rows, and no access tokens: those are the provider's. */
function trimmed(family: Family, rows: number): Family {
  const tokens = family.tokens.toSorted((a, b) => Number(a.id) - Number(b.id)).slice(-rows);
  return { ...family, tokens, accessTokens: [] };
}

function newest(family: Family, counter: number): number {
  return Math.max(counter, ...family.tokens.map((one) => Number(one.id)));
}

function lastUse(family: Family): number {
  return family.lastRefreshedAt ?? 0;
}

/** The family of the store, with the later of both last uses of each token. */
function withLastUse(family: Family, used: Family): Family {
  if (lastUse(used) <= lastUse(family)) return family;
  const tokens = family.tokens.map((one) => {
    const other = used.tokens.find((each) => each.id === one.id);
    return other && (other.lastUsedAt ?? 0) > (one.lastUsedAt ?? 0)
      ? { ...one, lastUsedAt: other.lastUsedAt, uses: other.uses, activatedAt: other.activatedAt }
      : one;
  });
  return { ...family, tokens, lastRefreshedAt: used.lastRefreshedAt, lastIssuedAt: used.lastIssuedAt };
}
