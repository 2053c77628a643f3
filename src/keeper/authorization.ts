/**
 * Getting a grant through a person's browser (RFC 6749 section 4.1). Each authorization is a record with the states
 * that `records.ts` lists; a step is recorded before it has an effect outside, so a crash leaves it known how far it
 * went:
 *
 *   issued → opened → coded → exchanging → answered → done | failed
 *
 * The ticket in the link, the `state` and the browser's cookie are kept as digests only. The callback works for the
 * browser that opened the link and for no other, so nobody can slip their authorization into somebody else's grant.
 */
import { EvergrantError } from '../core/errors.ts';
import type { GrantId } from '../core/id.ts';
import { after } from '../core/instant.ts';
import { authorizationUrl } from '../oauth/authorization-request.ts';
import { createVerifier, challengeOf } from '../oauth/pkce.ts';
import {
  anotherLink,
  linkUnknown,
  type AuthorizationRecords,
  authorizationRecords,
  placeOf,
} from './authorization-records.ts';
import { codeUse } from './code-exchange.ts';
import { digest, freshText } from './digests.ts';
import type { GrantRegistry } from './grants.ts';
import type { AuthorizationOutcome, Authorizations, AuthorizationView, CallbackParameters } from './keeper.ts';
import type { Minders } from './minders.ts';
import { freshId, type KeeperParts } from './parts.ts';
import type { AuthorizationRecord, Versioned } from './records.ts';
import type { Upstreams } from './upstream.ts';

const LINK_LIFE_MS = 10 * 60_000;
/** From the click on: time to sign in at the provider and to consent there. */
const LOGIN_LIFE_MS = 30 * 60_000;

export interface AuthorizationFlow extends Authorizations {
  /** Takes up what a crash or an outage left between the code and the grant. */
  resume(): Promise<void>;
  /** Resolves when no code and no answer to one is under way. Never rejects. */
  idle(): Promise<void>;
}

export function authorizationFlow(
  parts: KeeperParts,
  registry: GrantRegistry,
  minders: Minders,
  upstreams: Upstreams,
): AuthorizationFlow {
  const records = authorizationRecords(parts);
  const use = codeUse(parts, records, registry, minders, upstreams);

  return {
    async begin(idOrAlias, options) {
      const { value: grant } = await registry.record(idOrAlias);
      const { chain } = await parts.store.chains.read(grant.id);
      if (chain.end?.kind === 'revoked') throw grantEnded();
      if (grant.scheme) throw needsNobody(grant.id, grant.scheme);
      const ticket = freshText(parts);
      const record: AuthorizationRecord = {
        id: freshId(parts, 'aut'),
        grant: grant.id,
        status: 'issued',
        ticketHash: digest(ticket),
        stateHash: null,
        browserHash: null,
        codeVerifier: null,
        code: null,
        codeAt: null,
        link: null,
        requestedAt: null,
        receivedAt: null,
        answer: null,
        returnUrl: options.returnUrl ?? null,
        scope: options.scope ?? grant.scope,
        isRenewal: chain.generation > 0,
        expiresAt: after(parts.clock.now(), LINK_LIFE_MS),
        result: null,
      };
      await records.insert(record);
      return { id: record.id, ticket, expiresAt: record.expiresAt };
    },

    async view(ticket) {
      const { value } = await records.byTicket(ticket);
      assertUnused(parts, value);
      return viewOf(registry, upstreams, value);
    },

    async open(ticket) {
      const browserCookie = freshText(parts);
      const location = await openLink(parts, records, registry, upstreams, ticket, browserCookie);
      return { location, browserCookie, maxAgeMs: LOGIN_LIFE_MS };
    },

    async openWithoutBrowser(idOrAlias, ticket) {
      await assertOf(registry, records, idOrAlias, ticket);
      return { location: await openLink(parts, records, registry, upstreams, ticket, null) };
    },

    async finish(callback, browserCookie) {
      const found = await records.byState(callback.state);
      const isSameBrowser = browserCookie !== null && found.value.browserHash === digest(browserCookie);
      if (!isSameBrowser) throw anotherBrowser();
      return finishWith(parts, records, registry, upstreams, use, found, callback);
    },

    async finishPasted(idOrAlias, ticket, callback) {
      await assertOf(registry, records, idOrAlias, ticket);
      const found = await records.byTicket(ticket);
      if (found.value.stateHash === null || found.value.stateHash !== digest(callback.state ?? '')) throw anotherLink();
      return finishWith(parts, records, registry, upstreams, use, found, callback);
    },

    resume: () => use.resume(),
    idle: () => use.idle(),
  };
}

async function openLink(
  parts: KeeperParts,
  records: AuthorizationRecords,
  registry: GrantRegistry,
  upstreams: Upstreams,
  ticket: string,
  browserCookie: string | null,
): Promise<string> {
  const { version, value } = await records.byTicket(ticket);
  assertUnused(parts, value);
  const { value: grant } = await registry.record(value.grant);
  const upstream = await upstreams.of(grant.app);
  const state = `${value.id.slice('aut_'.length)}.${freshText(parts)}`;
  const hasPkce = upstream.provider.codeChallengeMethods.includes('S256');
  const verifier = hasPkce ? createVerifier(parts.random.bytes(32)) : null;
  const opened: AuthorizationRecord = {
    ...value,
    status: 'opened',
    stateHash: digest(state),
    browserHash: browserCookie === null ? null : digest(browserCookie),
    codeVerifier: verifier && parts.sealer.seal(verifier, placeOf(value, 'code_verifier')),
    expiresAt: after(parts.clock.now(), LOGIN_LIFE_MS),
  };
  // Compare-and-set: of two clicks on one link, one goes on.
  if (!(await records.update(version, opened))) throw linkUsed();
  return authorizationUrl(upstream.provider, {
    clientId: upstream.clientId,
    redirectUri: upstream.redirectUri,
    state,
    scope: value.scope,
    codeChallenge: verifier && challengeOf(verifier),
  });
}

async function finishWith(
  parts: KeeperParts,
  records: AuthorizationRecords,
  registry: GrantRegistry,
  upstreams: Upstreams,
  use: ReturnType<typeof codeUse>,
  found: Versioned<AuthorizationRecord>,
  callback: CallbackParameters,
): Promise<AuthorizationOutcome> {
  const { version, value } = found;
  // A reload of the callback shows how it ended; the code is not sent a second time.
  if (value.status !== 'opened') return use.outcome(value.id);
  if (parts.clock.now() > value.expiresAt) return use.fail(value.id, 'The sign-in took too long.', ASK_FOR_A_LINK);
  const { value: grant } = await registry.record(value.grant);
  const { provider } = await upstreams.of(grant.app);
  if (provider.authorizationResponseIss && callback.iss !== provider.issuer) {
    return use.fail(
      value.id,
      'The answer came from another authorization server than the one that was asked.',
      ASK_FOR_A_LINK,
    );
  }
  if (callback.error !== null || !callback.code)
    return use.fail(value.id, denial(provider.name, callback), ASK_FOR_A_LINK);
  const coded: AuthorizationRecord = {
    ...value,
    status: 'coded',
    code: parts.sealer.seal(callback.code, placeOf(value, 'code')),
    codeAt: parts.clock.now(),
  };
  if (!(await records.update(version, coded))) return use.outcome(value.id);
  return use.exchange(value.id);
}

const ASK_FOR_A_LINK = 'Ask for a new link and try again.';

function denial(provider: string, callback: CallbackParameters): string {
  if (callback.error === 'access_denied') return `Access was not allowed at ${provider}.`;
  if (callback.error !== null) return `${provider} answered "${callback.error}".`;
  return `${provider} sent the browser back without a code.`;
}

async function viewOf(
  registry: GrantRegistry,
  upstreams: Upstreams,
  record: AuthorizationRecord,
): Promise<AuthorizationView> {
  const grant = await registry.get(record.grant);
  const upstream = await upstreams.of(grant.app);
  return {
    id: record.id,
    grant,
    appName: upstream.appName,
    providerName: upstream.provider.name,
    scope: record.scope,
    isRenewal: record.isRenewal,
    returnUrl: record.returnUrl,
    expiresAt: record.expiresAt,
  };
}

/** A ticket of another grant is as unknown as one that never was. */
async function assertOf(
  registry: GrantRegistry,
  records: AuthorizationRecords,
  idOrAlias: string,
  ticket: string,
): Promise<void> {
  const [{ value: grant }, { value }] = await Promise.all([registry.record(idOrAlias), records.byTicket(ticket)]);
  if (value.grant !== grant.id) throw linkUnknown();
}

function assertUnused(parts: KeeperParts, record: AuthorizationRecord): void {
  if (record.status !== 'issued') throw linkUsed();
  if (parts.clock.now() > record.expiresAt) throw linkExpired();
}

function linkUsed(): EvergrantError {
  return new EvergrantError('link_used', 'This authorization link has been used.', {
    remedy: 'Each link works once. Ask for a new one.',
  });
}

function linkExpired(): EvergrantError {
  return new EvergrantError('link_expired', 'This authorization link has expired.', {
    remedy: 'A link works for ten minutes. Ask for a new one.',
  });
}

function anotherBrowser(): EvergrantError {
  return new EvergrantError('another_browser', 'The authorization was begun in another browser.', {
    remedy: 'Open the authorization link in this browser, or finish where it was begun.',
  });
}

function needsNobody(grant: GrantId, scheme: string): EvergrantError {
  return new EvergrantError('invalid_request', `This grant has ${scheme}; no person can renew it.`, {
    remedy: `Give it other credentials: PATCH /v1/grants/${grant} with credentials, or the app another secret.`,
    grant,
  });
}

function grantEnded(): EvergrantError {
  return new EvergrantError('grant_revoked', 'The grant was ended here and cannot be renewed.', {
    remedy: 'Connect the account again: evergrant connect PROVIDER',
  });
}
