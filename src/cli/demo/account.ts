/**
 * The running account of the demo: what befell each chain, read from the provider's own ledger and from what clients
 * got. Nothing in here believes what the keeper says about itself.
 *
 * A fault is met when the ledger names it, and over when a client holds an access token that was issued by the struck
 * exchange or a later one.
 */
import { now } from '../../client/time.ts';
import { type Emulator, fingerprint, type LedgerEntry } from '../../emulator.ts';

/** What one line of the account is about. */
export type Happening =
  | 'authorized'
  | 'exchange'
  | 'fault'
  | 'refused'
  | 'served'
  | 'gap'
  | 'recovered'
  | 'broken'
  | 'kill'
  | 'restart'
  | 'away'
  | 'back';

export interface Line {
  /** Milliseconds since the account began. */
  readonly at: number;
  /** Null where it is about all of them. */
  readonly chain: string | null;
  readonly event: Happening;
  readonly words: string;
  readonly fault?: string;
}

/** How each try went, oldest first: clean; struck, and tried again later; struck, and all that matters arrived. */
export type Mark = 'clean' | 'struck' | 'kept';

export interface Account {
  readonly alias: string;
  readonly user: string;
  readonly marks: Mark[];
  exchanges: number;
  faults: number;
  recovered: number;
  requests: number;
  /** Requests for a token that got none, by the code of the answer. */
  readonly errors: Map<string, number>;
  /** Time in which clients with the usual wish asked and there was no token to have. */
  gapMs: number;
  longestGapMs: number;
}

export const inSeconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

interface OpenFault {
  readonly entry: LedgerEntry;
  readonly metAt: number;
  readonly words: string;
  served: number;
}

interface Tracked extends Account {
  open: OpenFault | null;
  gapSince: number | null;
  presented: string | null;
  /** Access tokens by fingerprint, with the number of the ledger's entry that issued them. */
  readonly issuedBy: Map<string, number>;
  isBroken: boolean;
}

export class Accounts {
  readonly #provider: Emulator;
  readonly #tell: (line: Line, account: Account | null) => void;
  readonly #began = now();
  readonly #byUser = new Map<string, Tracked>();
  /** What the next fault of a kind is called, by user. */
  readonly #words = new Map<string, string>();
  #seen = 0;
  /** Requests of all clients that got a token. */
  servedInAll = 0;

  constructor(provider: Emulator, tell: (line: Line, account: Account | null) => void) {
    this.#provider = provider;
    this.#tell = tell;
  }

  all(): readonly Account[] {
    return [...this.#byUser.values()];
  }

  get elapsedMs(): number {
    return now() - this.#began;
  }

  add(alias: string, user: string): void {
    this.#byUser.set(user, {
      alias,
      user,
      marks: [],
      exchanges: 0,
      faults: 0,
      recovered: 0,
      requests: 0,
      errors: new Map(),
      gapMs: 0,
      longestGapMs: 0,
      open: null,
      gapSince: null,
      presented: null,
      issuedBy: new Map(),
      isBroken: false,
    });
  }

  /** The fault that is about to strike this user, in words. */
  announce(user: string, words: string): void {
    this.#words.set(user, words);
  }

  /** Whether a fault was met and is not over yet. */
  isStruck(user: string): boolean {
    return this.#of(user).open !== null;
  }

  isBroken(user: string): boolean {
    return this.#of(user).isBroken;
  }

  /** Something that concerns every chain. */
  note(event: Happening, words: string): void {
    this.#tell({ at: this.elapsedMs, chain: null, event, words }, null);
  }

  /** Reads what the ledger has to say since the last look. */
  look(): void {
    const entries = this.#provider.control.ledger();
    for (const entry of entries.slice(this.#seen)) {
      const account = entry.endpoint === 'token' && entry.user !== null ? this.#byUser.get(entry.user) : undefined;
      if (account) this.#take(account, entry);
    }
    this.#seen = entries.length;
  }

  #take(account: Tracked, entry: LedgerEntry): void {
    const [, accessToken] = entry.issued;
    if (accessToken !== undefined) account.issuedBy.set(accessToken, entry.n);
    if (entry.decision === 'authorized') this.#say(account, 'authorized', 'signed in, allowed, code exchanged');
    else this.#takeExchange(account, entry);
  }

  #takeExchange(account: Tracked, entry: LedgerEntry): void {
    const isAgain = entry.presented[0] === account.presented;
    account.presented = entry.presented[0] ?? null;
    const again = isAgain ? 'the same token presented again: ' : '';
    if (entry.issued.length > 0) account.exchanges++;
    if (entry.fault !== null) this.#meet(account, entry, again);
    else if (entry.status !== 200) this.#say(account, 'refused', `${again}refused (${entry.reason})`);
    else {
      account.marks.push('clean');
      this.#say(account, 'exchange', isAgain ? `${again}answered` : 'exchanged');
    }
  }

  #meet(account: Tracked, entry: LedgerEntry, again: string): void {
    const words = this.#words.get(account.user) ?? '';
    account.faults++;
    account.marks.push('struck');
    account.open = { entry, metAt: now(), words, served: 0 };
    this.#say(account, 'fault', `${again}${words}`, entry.fault ?? '');
  }

  /** A client got a token. */
  served(user: string, accessToken: string): void {
    this.look();
    const account = this.#of(user);
    account.requests++;
    this.servedInAll++;
    const { open } = account;
    const gapMs = this.#endGap(account);
    if (!open && gapMs > 0) this.#say(account, 'recovered', `tokens again after ${inSeconds(gapMs)}`);
    if (!open) return;
    const issued = account.issuedBy.get(fingerprint(accessToken)) ?? 0;
    if (issued >= open.entry.n) this.#recover(account, open, issued);
    else open.served++;
  }

  /** A client got no token; `isUsual` unless it had wished for a longer life than others do. */
  missed(user: string, isUsual: boolean, code: string, retryAfter: string | undefined): void {
    this.look();
    const account = this.#of(user);
    account.requests++;
    account.errors.set(code, (account.errors.get(code) ?? 0) + 1);
    if (code === 'authorization_required' && !account.isBroken) {
      account.isBroken = true;
      this.#say(account, 'broken', 'the chain is broken: a person is needed');
    }
    if (account.gapSince !== null || !isUsual) return;
    account.gapSince = now();
    this.#saySince(account);
    const wait = retryAfter === undefined ? '' : `, again in ${retryAfter} s`;
    this.#say(account, 'gap', `no live token: ${code}${wait}`);
  }

  /** What the token in hand was good for while the fault lasted. */
  #saySince(account: Tracked): void {
    const { open } = account;
    if (!open || open.served === 0) return;
    this.#say(account, 'served', `${open.served} request${open.served === 1 ? '' : 's'} served from memory meanwhile`);
    open.served = 0;
  }

  #endGap(account: Tracked): number {
    if (account.gapSince === null) return 0;
    const lasted = now() - account.gapSince;
    account.gapMs += lasted;
    account.longestGapMs = Math.max(account.longestGapMs, lasted);
    account.gapSince = null;
    return lasted;
  }

  #recover(account: Tracked, open: OpenFault, issued: number): void {
    this.#saySince(account);
    account.open = null;
    account.recovered++;
    const isSame = issued === open.entry.n;
    if (isSame) account.marks[account.marks.lastIndexOf('struck')] = 'kept';
    const words = isSame ? 'no harm, all that matters arrived' : `recovered after ${inSeconds(now() - open.metAt)}`;
    this.#say(account, 'recovered', words, open.entry.fault ?? '');
  }

  #say(account: Tracked, event: Happening, words: string, fault?: string): void {
    const line = { at: this.elapsedMs, chain: account.alias, event, words };
    this.#tell(fault === undefined ? line : { ...line, fault }, account);
  }

  #of(user: string): Tracked {
    const account = this.#byUser.get(user);
    if (!account) throw new Error(`no account of ${user}`);
    return account;
  }
}
