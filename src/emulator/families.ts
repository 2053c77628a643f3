/**
 * All families of one server, as rows of numbers. Reading and changing one takes the same time however many there are,
 * and however long their chains grew: each row names the one before it in its family, and as many are read as what
 * happens needs. Nothing is forgotten.
 */
import type { Family, FamilyAccessToken, FamilyToken, RevocationReason } from '../core/family.ts';
import type { Instant } from '../core/instant.ts';
import type { Allowed } from './codes.ts';
import { isRefreshToken, type TokenId } from './register.ts';
import { Rows } from './rows.ts';

/** What of a family never changes. */
export interface Owner {
  readonly id: string;
  readonly user: string;
  readonly username: string | null;
  readonly client: string;
  readonly allowed: Allowed;
}

const FAMILY = {
  startedAt: 0,
  consentEndsAt: 1,
  latestGeneration: 2,
  lastIssuedAt: 3,
  lastRefreshedAt: 4,
  lastRotatedAt: 5,
  revokedAt: 6,
  revokedFor: 7,
  newestToken: 8,
  newestAccess: 9,
} as const;

/** `family` counts from 1, so that it is 0 where there is no such row. */
const TOKEN = {
  family: 0,
  parent: 1,
  generation: 2,
  issuedAt: 3,
  firstUsedAt: 4,
  lastUsedAt: 5,
  uses: 6,
  activatedAt: 7,
  displacedAt: 8,
  evictedAt: 9,
  /** The row before it in its family. */
  older: 10,
  /** The newest access token of the family before it was issued; -1 for none. */
  accessBefore: 11,
} as const;

const ACCESS = { family: 0, refreshToken: 1, presented: 2, issuedAt: 3, revokedAt: 4, older: 5 } as const;

const REASONS: readonly RevocationReason[] = ['reuse', 'revoked', 'reauthorized', 'chain-reset'];

export class Families {
  readonly #atHand: number;
  readonly #owners: Owner[] = [];
  readonly #families = new Rows(Object.keys(FAMILY).length);
  readonly #tokens = new Rows(Object.keys(TOKEN).length);
  readonly #access = new Rows(Object.keys(ACCESS).length);
  /** Numbers of families that may still give tokens, oldest first, by user and client. */
  readonly #live = new Map<string, Set<number>>();

  /** `atHand`: how many of the newest access tokens a rule wants to see at each exchange. */
  constructor(atHand: number) {
    this.#atHand = atHand;
  }

  get nextId(): string {
    return `family-${this.#owners.length + 1}`;
  }

  add(owner: Owner, family: Family): void {
    const number = this.#owners.push(owner);
    this.#families.setOrNull(number, FAMILY.newestToken, null);
    this.#families.setOrNull(number, FAMILY.newestAccess, null);
    this.#write(number, undefined, family);
    this.#index(number);
  }

  ownerOf(token: TokenId): Owner | null {
    return this.#owners[this.#numberOf(token) - 1] ?? null;
  }

  #numberOf(token: TokenId): number {
    return isRefreshToken(token)
      ? this.#tokens.get(rowOf(token), TOKEN.family)
      : this.#access.get(rowOf(token), ACCESS.family);
  }

  /** With as many rows as what happens to this token needs: of a refresh token all that came after it. */
  forToken(token: TokenId): Family | null {
    const number = this.#numberOf(token);
    if (number === 0) return null;
    if (!isRefreshToken(token)) return this.#forAccessToken(number, token);
    const isNewest = this.#families.get(number, FAMILY.newestToken) === token;
    const accessSince = isNewest ? Number.POSITIVE_INFINITY : this.#tokens.get(rowOf(token), TOKEN.accessBefore);
    return this.#read(number, this.#tokensBackTo(number, token), this.#accessAfter(number, accessSince));
  }

  #forAccessToken(number: number, token: TokenId): Family {
    const access = this.#accessToken(token);
    const refreshToken = Number(access.refreshToken);
    const isThere = this.#numberOf(refreshToken) !== 0;
    return this.#read(number, isThere ? [this.#token(refreshToken)] : [], [access]);
  }

  /** With all its rows, oldest first. */
  whole(id: string): Family {
    return this.#whole(numberOf(id));
  }

  #whole(number: number): Family {
    return this.#read(number, this.#tokensBackTo(number, null), this.#accessAfter(number, -1));
  }

  /** Live families of one user and client, whole, oldest first. */
  liveOf(user: string, client: string): readonly Family[] {
    return [...(this.#live.get(pair(user, client)) ?? [])].map((number) => this.#whole(number));
  }

  /** Every family, whole. Takes time: not for requests. */
  *all(): Generator<Family> {
    for (let number = 1; number <= this.#owners.length; number++) yield this.#whole(number);
  }

  /** `before` is what was read; what is the same in `after` is there already. */
  replace(before: Family, after: Family): void {
    if (before === after) return;
    const number = numberOf(after.id);
    this.#write(number, before, after);
    if (after.revoked || after.tokens.at(-1)?.evictedAt !== null) this.#index(number);
  }

  #index(number: number): void {
    const family = this.#whole(number);
    const key = pair(family.user, family.client);
    const numbers = this.#live.get(key) ?? new Set();
    const isOver = family.revoked || family.tokens.every((one) => one.evictedAt !== null);
    if (isOver) numbers.delete(number);
    else numbers.add(number);
    this.#live.set(key, numbers);
  }

  #read(number: number, tokens: readonly FamilyToken[], accessTokens: readonly FamilyAccessToken[]): Family {
    const owner = this.#owners[number - 1];
    if (!owner) throw new RangeError(`there is no family ${number}`);
    const { id, user, client } = owner;
    const at = (column: number) => this.#families.getOrNull(number, column) as Instant | null;
    const revokedAt = at(FAMILY.revokedAt);
    const reason = REASONS[this.#families.get(number, FAMILY.revokedFor)] ?? 'revoked';
    return {
      id,
      user,
      client,
      startedAt: this.#families.get(number, FAMILY.startedAt) as Instant,
      consentEndsAt: at(FAMILY.consentEndsAt),
      tokens,
      accessTokens,
      latestGeneration: this.#families.get(number, FAMILY.latestGeneration),
      lastIssuedAt: this.#families.get(number, FAMILY.lastIssuedAt) as Instant,
      lastRefreshedAt: at(FAMILY.lastRefreshedAt),
      lastRotatedAt: at(FAMILY.lastRotatedAt),
      revoked: revokedAt === null ? null : { at: revokedAt, reason },
    };
  }

  #write(number: number, before: Family | undefined, after: Family): void {
    const rows = this.#families;
    rows.set(number, FAMILY.startedAt, after.startedAt);
    rows.setOrNull(number, FAMILY.consentEndsAt, after.consentEndsAt);
    rows.set(number, FAMILY.latestGeneration, after.latestGeneration);
    rows.set(number, FAMILY.lastIssuedAt, after.lastIssuedAt);
    rows.setOrNull(number, FAMILY.lastRefreshedAt, after.lastRefreshedAt);
    rows.setOrNull(number, FAMILY.lastRotatedAt, after.lastRotatedAt);
    rows.setOrNull(number, FAMILY.revokedAt, after.revoked?.at ?? null);
    rows.set(number, FAMILY.revokedFor, after.revoked ? REASONS.indexOf(after.revoked.reason) : 0);
    after.tokens.forEach((one, i) => {
      if (one !== before?.tokens[i]) this.#writeToken(number, one);
    });
    after.accessTokens.forEach((one, i) => {
      if (one !== before?.accessTokens[i]) this.#writeAccessToken(number, one);
    });
  }

  #tokensBackTo(number: number, last: TokenId | null): FamilyToken[] {
    const found: FamilyToken[] = [];
    for (let id = this.#families.get(number, FAMILY.newestToken); !Number.isNaN(id); ) {
      found.push(this.#token(id));
      id = id === last ? Number.NaN : this.#tokens.get(rowOf(id), TOKEN.older);
    }
    return found.toReversed();
  }

  /** Those after this one, and at least as many as are wanted at hand. */
  #accessAfter(number: number, last: TokenId): FamilyAccessToken[] {
    const found: FamilyAccessToken[] = [];
    let id = this.#families.get(number, FAMILY.newestAccess);
    while (!Number.isNaN(id) && (id > last || found.length < this.#atHand)) {
      found.push(this.#accessToken(id));
      id = this.#access.get(rowOf(id), ACCESS.older);
    }
    return found.toReversed();
  }

  #token(id: TokenId): FamilyToken {
    const row = rowOf(id);
    const at = (column: number) => this.#tokens.getOrNull(row, column) as Instant | null;
    return {
      id: String(id),
      parent: nameOf(this.#tokens.getOrNull(row, TOKEN.parent)),
      generation: this.#tokens.get(row, TOKEN.generation),
      issuedAt: this.#tokens.get(row, TOKEN.issuedAt) as Instant,
      firstUsedAt: at(TOKEN.firstUsedAt),
      lastUsedAt: at(TOKEN.lastUsedAt),
      uses: this.#tokens.get(row, TOKEN.uses),
      activatedAt: at(TOKEN.activatedAt),
      displacedAt: at(TOKEN.displacedAt),
      evictedAt: at(TOKEN.evictedAt),
    };
  }

  #writeToken(family: number, token: FamilyToken): void {
    const id = Number(token.id);
    const row = rowOf(id);
    const rows = this.#tokens;
    if (rows.get(row, TOKEN.family) === 0) {
      rows.set(row, TOKEN.family, family);
      rows.set(row, TOKEN.older, this.#families.get(family, FAMILY.newestToken));
      rows.set(row, TOKEN.accessBefore, this.#families.getOrNull(family, FAMILY.newestAccess) ?? -1);
      this.#families.set(family, FAMILY.newestToken, id);
    }
    rows.setOrNull(row, TOKEN.parent, token.parent === null ? null : Number(token.parent));
    rows.set(row, TOKEN.generation, token.generation);
    rows.set(row, TOKEN.issuedAt, token.issuedAt);
    rows.setOrNull(row, TOKEN.firstUsedAt, token.firstUsedAt);
    rows.setOrNull(row, TOKEN.lastUsedAt, token.lastUsedAt);
    rows.set(row, TOKEN.uses, token.uses);
    rows.setOrNull(row, TOKEN.activatedAt, token.activatedAt);
    rows.setOrNull(row, TOKEN.displacedAt, token.displacedAt);
    rows.setOrNull(row, TOKEN.evictedAt, token.evictedAt);
  }

  #accessToken(id: TokenId): FamilyAccessToken {
    const row = rowOf(id);
    return {
      id: String(id),
      refreshToken: String(this.#access.get(row, ACCESS.refreshToken)),
      presented: nameOf(this.#access.getOrNull(row, ACCESS.presented)),
      issuedAt: this.#access.get(row, ACCESS.issuedAt) as Instant,
      revokedAt: this.#access.getOrNull(row, ACCESS.revokedAt) as Instant | null,
    };
  }

  #writeAccessToken(family: number, token: FamilyAccessToken): void {
    const id = Number(token.id);
    const row = rowOf(id);
    const rows = this.#access;
    if (rows.get(row, ACCESS.family) === 0) {
      rows.set(row, ACCESS.family, family);
      rows.set(row, ACCESS.older, this.#families.get(family, FAMILY.newestAccess));
      this.#families.set(family, FAMILY.newestAccess, id);
    }
    rows.set(row, ACCESS.refreshToken, Number(token.refreshToken));
    rows.setOrNull(row, ACCESS.presented, token.presented === null ? null : Number(token.presented));
    rows.set(row, ACCESS.issuedAt, token.issuedAt);
    rows.setOrNull(row, ACCESS.revokedAt, token.revokedAt);
  }
}

/** Tokens of both kinds are numbered on their own. */
const rowOf = (id: TokenId) => id >>> 1;

const nameOf = (id: TokenId | null) => (id === null ? null : String(id));

const numberOf = (family: string) => Number(family.slice('family-'.length));

const pair = (user: string, client: string) => `${user}|${client}`;
