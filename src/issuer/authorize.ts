/**
 * Getting a person's consent for a client: the client's request goes on to the provider as one of the keeper's own
 * authorizations, and what comes of it goes back to the client as a code, or to the device that asked.
 *
 * Also for a grant that is there already the person goes to the provider and signs in: a client that connects its user
 * must not get somebody else's account because that somebody was here before.
 */
import type { GrantId } from '../core/id.ts';
import { after, type Instant } from '../core/instant.ts';
import type { AuthorizationOutcome, Grant } from '../keeper/keeper.ts';
import type { Parameters } from '../oauth/form.ts';
import { invalidRequest, OAuthError } from '../oauth/oauth-error.ts';
import { ErrorForClient, readAuthorizationRequest, whatIsAsked, withParameters } from './authorization-request.ts';
import type { Client } from './client.ts';
import type { ClientTokens } from './client-tokens.ts';
import { type ClientRegistry, digestOf } from './clients.ts';
import type { DpopProof } from './dpop.ts';
import { freshId, freshText, type IssuerParts } from './parts.ts';
import type { Asked, ClientRequest, Requests, StoredRequest } from './requests.ts';
import { rightsOf } from './rights.ts';
import { networkOf, newUserCode, plainUserCode } from './user-code.ts';

/** What the page shows before anything happens. */
export interface AskedView {
  readonly clientName: string;
  readonly provider: string;
  readonly appName: string;
  /** The grant that is to be renewed; null: a new one comes of it. */
  readonly alias: string | null;
  readonly account: string | null;
  readonly scope: readonly string[];
  /** Where the browser goes in the end; null: the device that asked goes on by itself. */
  readonly redirectUri: string | null;
}

export interface Opened {
  /** The provider's address. */
  readonly location: string;
  readonly browserCookie: string;
  readonly maxAgeMs: number;
}

export interface DeviceAuthorization {
  readonly deviceCode: string;
  readonly userCode: string;
  readonly expiresInS: number;
  readonly intervalS: number;
}

export interface Authorize {
  /** Rejects with `ErrorForClient` where the client is to be told, with `OAuthError` where the person is. */
  view(parameters: Parameters): Promise<AskedView>;
  open(parameters: Parameters): Promise<Opened>;
  /** The code is bound to the key of a proof that comes with it (RFC 9449 section 10.1). */
  push(
    client: Client,
    parameters: Parameters,
    proof: DpopProof | null,
  ): Promise<{ readonly requestUri: string; readonly expiresInS: number }>;
  beginDevice(client: Client, parameters: Parameters): Promise<DeviceAuthorization>;
  /** `from`: the address of who typed the code. */
  viewDevice(userCode: string, from: string): Promise<AskedView>;
  openDevice(userCode: string, from: string): Promise<Opened>;
  /**
   * The browser came back from the provider. Gives where it goes now: to the client, or to no place but a page here.
   * Null for what no client asked for.
   */
  finished(outcome: AuthorizationOutcome): Promise<{ readonly location: string | null } | null>;
}

const REQUEST_URI = 'urn:ietf:params:oauth:request_uri:';
const PUSHED_LIFE_MS = 90_000;
const DEVICE_LIFE_MS = 600_000;
/** A code is exchanged by a program at once. */
const CODE_LIFE_MS = 60_000;
/** Authorizations of one client under way, beyond which no new one is begun: each makes a grant that waits. */
const MOST_UNDER_WAY = 1_000;
const UNDER_WAY_MS = 1_800_000;
/** Requests of one client in ten minutes, pushed or for devices: each is a record, and a public client proves nothing. */
const MOST_ASKED = 1_000;
const ASKED_MS = 600_000;
/** Wrong user codes in a minute: nobody finds one by trying, and who tries keeps nobody elsewhere from typing theirs. */
const MOST_WRONG_CODES = 30;
const MOST_WRONG_CODES_OF_ALL = 300;
const MINUTE_MS = 60_000;
export const POLL_INTERVAL_S = 5;

export function authorize(
  parts: IssuerParts,
  clients: ClientRegistry,
  tokens: ClientTokens,
  requests: Requests,
): Authorize {
  const { keeper, clock, publicUrl } = parts;
  const returnBase = `${publicUrl}/oauth/return/`;
  const begun = new RecentOfEach(clock, UNDER_WAY_MS, MOST_UNDER_WAY);
  const askedLately = new RecentOfEach(clock, ASKED_MS, MOST_ASKED);
  const wrongCodes = new RecentOfEach(clock, MINUTE_MS, MOST_WRONG_CODES);
  const allWrongCodes = new Recent(clock, MINUTE_MS);

  async function clientNamed(parameters: Parameters): Promise<Client> {
    const found = await clients.read(parameters.get('client_id') ?? '');
    if (found) return found.client;
    throw invalidRequest('client_id names no client.');
  }

  async function pushed(client: Client, uri: string): Promise<StoredRequest> {
    const found = uri.startsWith(REQUEST_URI) ? await requests.get(uri.slice(REQUEST_URI.length)) : null;
    if (
      found?.request.asked.client !== client.id ||
      found.request.status !== 'pushed' ||
      requests.isOver(found.request)
    ) {
      throw invalidRequest('request_uri is not known, was used, or is too old.');
    }
    return found;
  }

  /** What is asked, and the record of a pushed request. */
  async function asked(
    parameters: Parameters,
  ): Promise<{ readonly asked: Asked; readonly stored: StoredRequest | null }> {
    const client = await clientNamed(parameters);
    const uri = parameters.get('request_uri');
    if (uri === undefined)
      return {
        asked: await readAuthorizationRequest(parts, client, rightsOf(tokens, client), parameters, false),
        stored: null,
      };
    const stored = await pushed(client, uri);
    return { asked: stored.request.asked, stored };
  }

  async function viewOf({ client, target, scope, redirectUri }: Asked): Promise<AskedView> {
    const { client: asking } = (await clients.read(client)) ?? {};
    if (!asking) throw invalidRequest('The client is gone.');
    const grant = target.kind === 'grant' ? await keeper.grants.get(target.grant) : null;
    const app = await keeper.apps.get(target.kind === 'app' ? target.app : (grant?.app ?? ''));
    return {
      clientName: asking.name,
      provider: app.provider,
      appName: app.name,
      alias: grant?.alias ?? null,
      account: grant?.account ? (grant.account.label ?? grant.account.subject) : null,
      scope: grant ? grant.scope.requested : scope,
      redirectUri,
    };
  }

  /** Goes on to the provider. */
  async function goOn(request: ClientRequest): Promise<Opened> {
    const grant = request.grant ?? '';
    const { ticket } = await keeper.authorizations.begin(grant, { returnUrl: returnBase + request.id });
    return keeper.authorizations.open(ticket);
  }

  /** The grant to be authorized; a new one waits for it from here on. */
  async function grantFor({ client, target, scope, owner }: Asked): Promise<GrantId> {
    if (target.kind === 'grant') return target.grant;
    begun.note(client);
    const { provider } = await keeper.apps.get(target.app);
    const alias = `${provider.slice(0, 48)}-${freshId(parts, 'req').slice(-8)}`;
    const more = { ...(owner === null ? {} : { owner }), ...(scope.length === 0 ? {} : { scope }) };
    const grant: Grant = await keeper.grants.create({ app: target.app, alias, ...more });
    return grant.id;
  }

  function underWay(): Pick<ClientRequest, 'status' | 'expiresAt'> {
    return { status: 'connecting', expiresAt: after(clock.now(), UNDER_WAY_MS) };
  }

  async function byUserCode(text: string, from: string): Promise<StoredRequest> {
    const network = networkOf(from);
    wrongCodes.assertRoom(network);
    if (allWrongCodes.count >= MOST_WRONG_CODES_OF_ALL) throw tooMuch();
    const found = await requests.byUserCode(plainUserCode(text));
    if (found?.request.status === 'waiting' && !requests.isOver(found.request)) return found;
    wrongCodes.note(network);
    allWrongCodes.note();
    throw new OAuthError('expired_token');
  }

  return {
    async view(parameters) {
      return viewOf((await asked(parameters)).asked);
    },

    async open(parameters) {
      const { asked: wish, stored } = await asked(parameters);
      const grant = await grantFor(wish);
      const next = { ...underWay(), grant };
      const request = stored ? await requests.move(stored, next) : await requests.insert({ asked: wish, ...next });
      // Of two clicks on one page, one goes on.
      if (!request) throw invalidRequest('The request was used already.');
      return goOn(request);
    },

    async push(client, parameters, proof) {
      if (parameters.has('request_uri')) throw invalidRequest('request_uri cannot be pushed.');
      const wish = await readAuthorizationRequest(
        parts,
        client,
        rightsOf(tokens, client),
        parameters,
        client.type === 'confidential',
      ).catch(told);
      if (proof && wish.dpopJkt !== null && wish.dpopJkt !== proof.jkt) {
        throw invalidRequest('dpop_jkt and the DPoP proof name different keys.');
      }
      askedLately.note(client.id);
      await proof?.use();
      const expiresAt = after(clock.now(), PUSHED_LIFE_MS);
      const { id } = await requests.insert({
        status: 'pushed',
        asked: { ...wish, dpopJkt: proof?.jkt ?? wish.dpopJkt },
        expiresAt,
      });
      return { requestUri: REQUEST_URI + id, expiresInS: PUSHED_LIFE_MS / 1000 };
    },

    async beginDevice(client, parameters) {
      const wish = await whatIsAsked(
        parts,
        client,
        rightsOf(tokens, client),
        parameters,
        client.type === 'confidential',
      );
      askedLately.note(client.id);
      const [deviceCode, userCode] = [freshText(parts), newUserCode(parts.random)];
      const hashes = { secretHash: digestOf(deviceCode), userCodeHash: digestOf(plainUserCode(userCode)) };
      const expiresAt: Instant = after(clock.now(), DEVICE_LIFE_MS);
      await requests.insert({ status: 'waiting', asked: wish, expiresAt, ...hashes });
      return { deviceCode, userCode, expiresInS: DEVICE_LIFE_MS / 1000, intervalS: POLL_INTERVAL_S };
    },

    async viewDevice(userCode, from) {
      return viewOf((await byUserCode(userCode, from)).request.asked);
    },

    async openDevice(userCode, from) {
      const stored = await byUserCode(userCode, from);
      const grant = await grantFor(stored.request.asked);
      const request = await requests.move(stored, { ...underWay(), userCodeHash: null, grant });
      if (!request) throw new OAuthError('expired_token');
      return goOn(request);
    },

    async finished(outcome) {
      if (!outcome.returnUrl?.startsWith(returnBase)) return null;
      const found = await requests.get(outcome.returnUrl.slice(returnBase.length));
      if (found?.request.status !== 'connecting' || requests.isOver(found.request)) return { location: null };
      const { redirectUri, state } = found.request.asked;
      if (outcome.outcome === 'failed') {
        await requests.move(found, { status: 'denied' });
        const said = { error: 'access_denied', error_description: 'The account was not connected.' };
        return { location: redirectUri === null ? null : withParameters(parts, redirectUri, state, said) };
      }
      const granted = { status: 'granted', grant: outcome.grant.id } as const;
      if (redirectUri === null) {
        await requests.move(found, granted);
        return { location: null };
      }
      const code = freshText(parts);
      const expiresAt = after(clock.now(), CODE_LIFE_MS);
      const isMoved = await requests.move(found, { ...granted, secretHash: digestOf(code), expiresAt });
      return { location: isMoved && withParameters(parts, redirectUri, state, { code }) };
    },
  };
}

/** Who pushes a request hears what is wrong with it in the answer. */
function told(cause: unknown): never {
  if (!(cause instanceof ErrorForClient)) throw cause;
  const { searchParams } = new URL(cause.location);
  throw invalidRequest(searchParams.get('error_description') ?? 'The request is not valid.');
}

function tooMuch(): OAuthError {
  return new OAuthError('temporarily_unavailable', { retryAfterMs: MINUTE_MS });
}

/** Counts for each client or network what happened lately, and refuses what is too much. */
class RecentOfEach {
  readonly #clock: IssuerParts['clock'];
  readonly #forMs: number;
  readonly #most: number;
  readonly #all = new Map<string, Recent>();

  constructor(clock: IssuerParts['clock'], forMs: number, most: number) {
    this.#clock = clock;
    this.#forMs = forMs;
    this.#most = most;
  }

  assertRoom(whose: string): void {
    if ((this.#all.get(whose)?.count ?? 0) >= this.#most) throw tooMuch();
  }

  note(whose: string): void {
    this.assertRoom(whose);
    const recent = this.#all.get(whose) ?? new Recent(this.#clock, this.#forMs);
    recent.note();
    // The one that asked last stands last.
    this.#all.delete(whose);
    this.#all.set(whose, recent);
    for (const [oldest, { count }] of this.#all) {
      if (count > 0) break;
      this.#all.delete(oldest);
    }
  }
}

/** Counts what happened lately, whatever the clock on the wall does. */
class Recent {
  readonly #clock: IssuerParts['clock'];
  readonly #forMs: number;
  #times: number[] = [];

  constructor(clock: IssuerParts['clock'], forMs: number) {
    this.#clock = clock;
    this.#forMs = forMs;
  }

  note(): void {
    this.#times.push(this.#clock.moment().uptimeMs);
  }

  get count(): number {
    const from = this.#clock.moment().uptimeMs - this.#forMs;
    this.#times = this.#times.filter((time) => time > from);
    return this.#times.length;
  }
}
