/**
 * What clients ask of a person: authorization requests, pushed ones (RFC 9126) among them, and device authorizations
 * (RFC 8628). One record each, with these states:
 *
 *   pushed, waiting ──▶ connecting (a browser is at the provider) ──▶ granted ──▶ used
 *                              └──▶ denied
 *
 * Codes are kept as digests. A used one is remembered for a while: if it comes again, what it gave is ended.
 */
import type { ClientId, FamilyId, GrantId, RequestId } from '../core/id.ts';
import { after, type Instant } from '../core/instant.ts';
import type { Term } from '../ports/store.ts';
import { digestOf } from './clients.ts';
import { freshId, type IssuerParts } from './parts.ts';

/** What is to be connected: a grant that is there once more, or a new one through an app. */
export type Target =
  | { readonly kind: 'grant'; readonly grant: GrantId }
  | { readonly kind: 'app'; readonly app: string };

export interface Asked {
  readonly client: ClientId;
  readonly target: Target;
  readonly scope: readonly string[];
  readonly owner: string | null;
  /** The client proved itself when it asked, so that nobody else can have made this up. */
  readonly isVouched: boolean;
  /** Null for a device. */
  readonly redirectUri: string | null;
  readonly hasNamedRedirectUri: boolean;
  readonly state: string | null;
  /** S256 (RFC 7636). */
  readonly codeChallenge: string | null;
  /** The key with which alone the code may be redeemed (RFC 9449 section 10). */
  readonly dpopJkt: string | null;
}

export type RequestStatus = 'pushed' | 'waiting' | 'connecting' | 'granted' | 'denied' | 'used';

export interface ClientRequest {
  readonly id: RequestId;
  readonly status: RequestStatus;
  readonly asked: Asked;
  /** Of the code, or of the device code. */
  readonly secretHash: string | null;
  readonly userCodeHash: string | null;
  /** Where it led; of a new one under way, the grant that waits for its authorization. */
  readonly grant: GrantId | null;
  /** The refresh token that came of it. */
  readonly family: FamilyId | null;
  readonly expiresAt: Instant;
}

export interface StoredRequest {
  readonly version: number;
  readonly request: ClientRequest;
}

/** Used and expired ones are kept so long, to recognise what comes again. */
const KEPT_MS = 3_600_000;
const SWEPT_AT_ONCE = 200;

export class Requests {
  readonly #parts: IssuerParts;
  readonly #onInsert: () => void;

  /** `onInsert`: there is something that will have to be swept. */
  constructor(parts: IssuerParts, onInsert: () => void) {
    this.#parts = parts;
    this.#onInsert = onInsert;
  }

  async insert(wish: Pick<ClientRequest, 'status' | 'asked' | 'expiresAt'> & Partial<ClientRequest>) {
    const nothing = { secretHash: null, userCodeHash: null, grant: null, family: null };
    const request: ClientRequest = { id: freshId(this.#parts, 'req'), ...nothing, ...wish };
    const { records } = this.#parts;
    const written = await records.insert('client-request', request.id, JSON.stringify(request), termsOf(request));
    if (written.outcome !== 'written')
      throw new Error('two requests have the same code: the source of chance is broken');
    this.#onInsert();
    return request;
  }

  async get(id: string): Promise<StoredRequest | null> {
    return read(await this.#parts.records.get('client-request', id));
  }

  async bySecret(secret: string): Promise<StoredRequest | null> {
    return read(await this.#parts.records.find('client-request', 'secret', digestOf(secret)));
  }

  async byUserCode(code: string): Promise<StoredRequest | null> {
    return read(await this.#parts.records.find('client-request', 'user-code', digestOf(code)));
  }

  /** Takes it on; null when somebody else was faster. */
  async move({ version, request }: StoredRequest, how: Partial<ClientRequest>): Promise<ClientRequest | null> {
    const next = { ...request, ...how };
    const { records } = this.#parts;
    const body = JSON.stringify(next);
    const written = await records.update('client-request', next.id, version, body, termsOf(next));
    return written.outcome === 'written' ? next : null;
  }

  isOver({ expiresAt }: ClientRequest): boolean {
    return this.#parts.clock.now() > expiresAt;
  }

  /** Removes what is long over, and the grants that were begun for it and that nobody authorized. */
  async sweep(): Promise<void> {
    const { records, clock } = this.#parts;
    // The oldest come first: after some of which none is over, the rest are younger.
    for (let isSome = true, from: string | null = null; isSome; ) {
      const page = await records.list('client-request', { limit: SWEPT_AT_ONCE, after: from });
      const over = page.items
        .flatMap((item) => read(item)?.request ?? [])
        .filter(({ expiresAt }) => clock.now() > after(expiresAt, KEPT_MS));
      for (const request of over) {
        await this.#discardGrant(request);
        await records.remove('client-request', request.id);
      }
      from = page.next;
      isSome = over.length > 0 && from !== null;
    }
  }

  async #discardGrant({ status, asked, grant }: ClientRequest): Promise<void> {
    if (asked.target.kind !== 'app' || grant === null || status === 'granted' || status === 'used') return;
    const { keeper } = this.#parts;
    const found = await keeper.grants.get(grant).catch(() => null);
    if (found?.state === 'pending') await keeper.grants.discard(found.id);
  }
}

function read(record: { readonly version: number; readonly body: string } | null): StoredRequest | null {
  if (!record) return null;
  const request = JSON.parse(record.body) as ClientRequest;
  return {
    version: record.version,
    request: { ...request, asked: { ...request.asked, dpopJkt: request.asked.dpopJkt ?? null } },
  };
}

function termsOf({ asked, secretHash, userCodeHash }: ClientRequest): readonly Term[] {
  return [
    { name: 'client', value: asked.client },
    ...(secretHash === null ? [] : [{ name: 'secret', value: secretHash, unique: true }]),
    ...(userCodeHash === null ? [] : [{ name: 'user-code', value: userCodeHash, unique: true }]),
  ];
}
