/**
 * All families of one server. Reading and changing one takes the same time however many there are, and however long
 * their chains grew: of each family the newest rows are at hand, and older ones on a shelf, from where they come back
 * when one of them is presented. Nothing is forgotten.
 */
import type { Family, FamilyAccessToken, FamilyToken } from '../core/family.ts';

/** Rows of a family at hand: at least so many, and at most three times that. */
const KEPT = 4;

interface Shelf {
  readonly tokens: FamilyToken[];
  readonly accessTokens: FamilyAccessToken[];
}

export class Families {
  readonly #kept: number;
  readonly #recent = new Map<string, Family>();
  readonly #shelves = new Map<string, Shelf>();
  /** Ids of families that may still give tokens, oldest first, by user and client. */
  readonly #live = new Map<string, Set<string>>();

  /** `kept`: newest rows of which a rule needs more than usual. */
  constructor(kept: number) {
    this.#kept = Math.max(KEPT, kept);
  }

  get size(): number {
    return this.#recent.size;
  }

  /** With its newest rows. */
  recent(id: string): Family | undefined {
    return this.#recent.get(id);
  }

  /** With all its rows, oldest first. */
  whole(id: string): Family | undefined {
    const family = this.#recent.get(id);
    const shelf = this.#shelves.get(id);
    if (!family || !shelf) return family;
    const tokens = [...shelf.tokens, ...family.tokens];
    return { ...family, tokens, accessTokens: [...shelf.accessTokens, ...family.accessTokens] };
  }

  /** With as many rows as what happens to this refresh token needs: it, and all that came after it. */
  forToken(id: string, token: string): Family | undefined {
    const family = this.#recent.get(id);
    return family?.tokens.some((one) => one.id === token) ? family : this.whole(id);
  }

  /** The same for an access token. */
  forAccessToken(id: string, token: string): Family | undefined {
    const family = this.#recent.get(id);
    const access = family?.accessTokens.find((one) => one.id === token);
    const isHere = access && family?.tokens.some((one) => one.id === access.refreshToken);
    return isHere ? family : this.whole(id);
  }

  /** Live families of one user and client, whole, oldest first. */
  liveOf(user: string, client: string): readonly Family[] {
    return [...(this.#live.get(pair(user, client)) ?? [])].flatMap((id) => this.whole(id) ?? []);
  }

  /** Every family, whole. Takes time: not for requests. */
  *all(): Generator<Family> {
    for (const id of this.#recent.keys()) {
      const family = this.whole(id);
      if (family) yield family;
    }
  }

  /** `before` is what was read; it tells whether rows of the shelf are among those of `after`. */
  replace(before: Family | undefined, after: Family): void {
    if (before !== this.#recent.get(after.id)) this.#shelves.delete(after.id);
    if (!this.#recent.has(after.id) || after.revoked || after.tokens.at(-1)?.evictedAt !== null) this.#index(after);
    this.#recent.set(after.id, this.#shorten(after));
  }

  #index(family: Family): void {
    const key = pair(family.user, family.client);
    const ids = this.#live.get(key) ?? new Set();
    const isOver = family.revoked || family.tokens.every((one) => one.evictedAt !== null);
    if (isOver) ids.delete(family.id);
    else ids.add(family.id);
    this.#live.set(key, ids);
  }

  #shorten(family: Family): Family {
    if (Math.max(family.tokens.length, family.accessTokens.length) <= 3 * this.#kept) return family;
    const shelf = this.#shelves.get(family.id) ?? { tokens: [], accessTokens: [] };
    this.#shelves.set(family.id, shelf);
    shelf.tokens.push(...family.tokens.slice(0, -this.#kept));
    shelf.accessTokens.push(...family.accessTokens.slice(0, -this.#kept));
    return {
      ...family,
      tokens: family.tokens.slice(-this.#kept),
      accessTokens: family.accessTokens.slice(-this.#kept),
    };
  }
}

const pair = (user: string, client: string) => `${user}|${client}`;
