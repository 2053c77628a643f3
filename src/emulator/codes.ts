/** Authorization codes of one server. A used code is remembered, so that using it again is seen as that. */
import { after, type Instant } from '../core/instant.ts';

/** What an authorization allows, and under which conditions; the family that comes of it keeps this. */
export interface Allowed {
  readonly client: string;
  readonly user: string;
  readonly scope: readonly string[];
  /** Companies that the user left out. */
  readonly withheld: readonly string[];
  /** Whether it comes with a refresh token. */
  readonly isOffline: boolean;
  /** Of OpenID Connect; goes into the id_token. */
  readonly nonce: string | null;
  readonly realm: string;
}

export interface Code extends Allowed {
  readonly text: string;
  readonly redirectUri: string;
  /** S256 challenge (RFC 7636), where the request had one. */
  readonly challenge: string | null;
  /** Counts the codes of the server. */
  readonly number: number;
  issuedAt: Instant;
  usedAt: Instant | null;
}

/** The newest so many are remembered; older ones become unknown. */
const MOST = 100_000;

export class Codes {
  readonly #codes = new Map<string, Code>();
  /** The number of the latest code that was used, by user and client. */
  readonly #latestUsed = new Map<string, number>();
  #count = 0;

  get(text: string): Code | undefined {
    return this.#codes.get(text);
  }

  add(code: Omit<Code, 'number' | 'usedAt'>): Code {
    const added = { ...code, number: ++this.#count, usedAt: null };
    this.#codes.set(code.text, added);
    const [oldest] = this.#codes.keys();
    if (this.#codes.size > MOST && oldest !== undefined) this.#codes.delete(oldest);
    return added;
  }

  use(code: Code, now: Instant): void {
    code.usedAt = now;
    this.#latestUsed.set(pair(code), code.number);
  }

  /** Whether a code of a later authorization of the same user and client was used already. */
  isOvertaken(code: Code): boolean {
    return (this.#latestUsed.get(pair(code)) ?? 0) > code.number;
  }

  /** Makes those of a user, or of everybody, older. */
  age(user: string | null, byMs: number): void {
    for (const code of this.#codes.values()) {
      if (user === null || code.user === user) code.issuedAt = after(code.issuedAt, -byMs);
    }
  }
}

const pair = ({ user, client }: { readonly user: string; readonly client: string }) => `${user}|${client}`;
