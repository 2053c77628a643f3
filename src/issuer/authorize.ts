/**
 * Getting a person's consent for a client: the client's request goes on to the provider as one of the keeper's own
 * authorizations, and what comes of it goes back to the client as a code, or to the device that asked.
 *
 * Also for a grant that is there already the person goes to the provider and signs in: a client that connects its user
 * must not get somebody else's account because that somebody was here before.
 */
import type { GrantId, RequestId } from '../core/id.ts';
import { after, type Instant } from '../core/instant.ts';
import type { AuthorizationOutcome, Grant } from '../keeper/keeper.ts';
import type { Parameters } from '../oauth/form.ts';
import { invalidRequest, OAuthError } from '../oauth/oauth-error.ts';
import { ErrorForClient, readAuthorizationRequest, whatIsAsked, withParameters } from './authorization-request.ts';
import type { Client } from './client.ts';
import type { ClientTokens } from './client-tokens.ts';
import { type ClientRegistry, digestOf } from './clients.ts';
import type { DpopProof } from './dpop.ts';
import { Crowds, Recent, RecentOfEach, tooMuch } from './limits.ts';
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
  /** `from`, here and below: the address of who asks. */
  open(parameters: Parameters, from: string): Promise<Opened>;
  /** The code is bound to the key of a proof that comes with it (RFC 9449 section 10.1). */
  push(
    client: Client,
    parameters: Parameters,
    proof: DpopProof | null,
    from: string,
  ): Promise<{ readonly requestUri: string; readonly expiresInS: number }>;
  beginDevice(client: Client, parameters: Parameters, from: string): Promise<DeviceAuthorization>;
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
/** For a person to sign in. So long a new grant waits for it. */
const UNDER_WAY_MS = 1_800_000;
/** For so long requests are counted that were pushed or are for devices: each is a record. */
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
  const begun = new Crowds(clock, UNDER_WAY_MS);
  const askedLately = new Crowds(clock, ASKED_MS);
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

  /** Who sent a person from a client that has proved itself is known, and was counted when it asked. */
  function enter({ client, isVouched }: Asked, id: RequestId, from: string): void {
    if (!isVouched) begun.enter(client, networkOf(from), id);
  }

  /** The grant to be authorized; a new one waits for it from here on. */
  async function grantFor({ target, scope, owner }: Asked): Promise<GrantId> {
    if (target.kind === 'grant') return target.grant;
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

    async open(parameters, from) {
      const { asked: wish, stored } = await asked(parameters);
      const id = stored?.request.id ?? freshId(parts, 'req');
      enter(wish, id, from);
      const grant = await grantFor(wish);
      const next = { ...underWay(), grant };
      const request = stored ? await requests.move(stored, next) : await requests.insert({ id, asked: wish, ...next });
      // Of two clicks on one page, one goes on.
      if (!request) throw invalidRequest('The request was used already.');
      return goOn(request);
    },

    async push(client, parameters, proof, from) {
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
      const id = freshId(parts, 'req');
      askedLately.enter(client.id, whoAsks(client, from), id);
      await proof?.use();
      const expiresAt = after(clock.now(), PUSHED_LIFE_MS);
      await requests.insert({
        id,
        status: 'pushed',
        asked: { ...wish, dpopJkt: proof?.jkt ?? wish.dpopJkt },
        expiresAt,
      });
      return { requestUri: REQUEST_URI + id, expiresInS: PUSHED_LIFE_MS / 1000 };
    },

    async beginDevice(client, parameters, from) {
      const wish = await whatIsAsked(
        parts,
        client,
        rightsOf(tokens, client),
        parameters,
        client.type === 'confidential',
      );
      const id = freshId(parts, 'req');
      askedLately.enter(client.id, whoAsks(client, from), id);
      const [deviceCode, userCode] = [freshText(parts), newUserCode(parts.random)];
      const hashes = { secretHash: digestOf(deviceCode), userCodeHash: digestOf(plainUserCode(userCode)) };
      const expiresAt: Instant = after(clock.now(), DEVICE_LIFE_MS);
      await requests.insert({ id, status: 'waiting', asked: wish, expiresAt, ...hashes });
      return { deviceCode, userCode, expiresInS: DEVICE_LIFE_MS / 1000, intervalS: POLL_INTERVAL_S };
    },

    async viewDevice(userCode, from) {
      return viewOf((await byUserCode(userCode, from)).request.asked);
    },

    async openDevice(userCode, from) {
      const stored = await byUserCode(userCode, from);
      enter(stored.request.asked, stored.request.id, from);
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
      begun.leave(found.request.asked.client, found.request.id);
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

/** Anybody may ask in the name of a public client: its requests are counted for the network they come from. */
function whoAsks({ type }: Client, from: string): string | null {
  return type === 'public' ? networkOf(from) : null;
}

/** Who pushes a request hears what is wrong with it in the answer. */
function told(cause: unknown): never {
  if (!(cause instanceof ErrorForClient)) throw cause;
  const { searchParams } = new URL(cause.location);
  throw invalidRequest(searchParams.get('error_description') ?? 'The request is not valid.');
}
