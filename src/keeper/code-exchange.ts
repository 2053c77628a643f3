/**
 * From a recorded authorization code to a grant's new chain: the code is sent once, its answer is kept before it is
 * read, the account is checked, and only then does the grant change. What a crash cuts off is taken up at the next
 * start wherever that can be done without sending the code twice.
 */
import { type ChainEvent, type ReceivedLink, stateOf } from '../core/chain.ts';
import { DIAGNOSES, type DiagnosisCode } from '../core/diagnosis.ts';
import type { GrantId, LinkId } from '../core/id.ts';
import type { Moment } from '../core/instant.ts';
import { REQUEST_TIMEOUT_MS } from '../core/next-step.ts';
import type { AccessToken, Fingerprint } from '../core/secret.ts';
import { codeRequest } from '../oauth/token-request.ts';
import type { AnswerRecord } from '../ports/journal.ts';
import type { Connection, HttpAnswer } from '../ports/network.ts';
import { StoreFailure } from '../ports/store.ts';
import { keepable, openAnswer, sealAnswer } from './answers.ts';
import { type AuthorizationRecords, placeOf } from './authorization-records.ts';
import { accessTokenLifeMs, keep } from './exchange.ts';
import { clientAssertion } from './client-assertion.ts';
import { journalBeginning, toJournal } from './journaling.ts';
import type { GrantRegistry } from './grants.ts';
import { accountOfIdToken, probeAccount } from './identity.ts';
import type { Account, AuthorizationOutcome } from './keeper.ts';
import type { Minders } from './minders.ts';
import { freshId, type KeeperParts } from './parts.ts';
import { persistently } from './persistently.ts';
import { readAnswer } from './reading.ts';
import type { AuthorizationRecord, AuthorizationStatus, GrantRecord, Versioned } from './records.ts';
import type { Upstream, Upstreams } from './upstream.ts';

const CONNECT_TIMEOUT_MS = 10_000;
const PROBE_TRIES = 3;
const PROBE_PAUSE_MS = 1_000;
/** For providers that name no life of their codes: RFC 6749 section 4.1.2 recommends at most ten minutes. */
const ASSUMED_CODE_LIFE_MS = 60_000;

const TRY_AGAIN = 'Ask for a new link and try again.';

export interface CodeUse {
  /** Sends the recorded code and sees it through. Whoever asks meanwhile gets the same outcome. */
  exchange(id: string): Promise<AuthorizationOutcome>;
  /** How an authorization ended, once it has. A code that was recorded and, by some failure, not sent goes now. */
  outcome(id: string): Promise<AuthorizationOutcome>;
  fail(id: string, reason: string, remedy: string): Promise<AuthorizationOutcome>;
  resume(): Promise<void>;
  /** Resolves when nothing is under way. Never rejects. */
  idle(): Promise<void>;
}

export function codeUse(
  parts: KeeperParts,
  records: AuthorizationRecords,
  registry: GrantRegistry,
  minders: Minders,
  upstreams: Upstreams,
): CodeUse {
  const underWay = new Map<string, Promise<AuthorizationOutcome>>();
  const flow = new CodeFlow(parts, records, registry, minders, upstreams);

  /** One flow per authorization at a time. */
  function once(id: string, work: () => Promise<AuthorizationOutcome>): Promise<AuthorizationOutcome> {
    const running = underWay.get(id) ?? work().finally(() => underWay.delete(id));
    underWay.set(id, running);
    return running;
  }

  return {
    exchange: (id) => once(id, () => flow.sendCode(id)),
    outcome: (id) => once(id, () => flow.outcome(id)),
    fail: (id, reason, remedy) => flow.fail(id, reason, remedy),

    async idle() {
      await Promise.allSettled(underWay.values());
    },

    async resume() {
      const ids = await flow.unfinished();
      await Promise.all(
        ids.map(({ id, work }) =>
          once(id, work).catch((cause) => {
            parts.log.error('An authorization could not be taken up again.', { authorization: id }, cause);
          }),
        ),
      );
    },
  };
}

class CodeFlow {
  readonly #parts: KeeperParts;
  readonly #records: AuthorizationRecords;
  readonly #registry: GrantRegistry;
  readonly #minders: Minders;
  readonly #upstreams: Upstreams;

  constructor(
    parts: KeeperParts,
    records: AuthorizationRecords,
    registry: GrantRegistry,
    minders: Minders,
    upstreams: Upstreams,
  ) {
    this.#parts = parts;
    this.#records = records;
    this.#registry = registry;
    this.#minders = minders;
    this.#upstreams = upstreams;
  }

  async sendCode(id: string): Promise<AuthorizationOutcome> {
    const { value } = await this.#records.get(id);
    const upstream = await this.#upstreamOf(value);
    const { name, tokenEndpoint, reach } = upstream.provider;
    const connection = await this.#parts.network.open(tokenEndpoint, reach, CONNECT_TIMEOUT_MS);
    if (connection.kind === 'not_sent') {
      return this.fail(id, `${name} could not be reached: ${connection.reason}.`, 'Try again when it can be.');
    }
    try {
      return await this.#sendOver(connection, id, value.grant, upstream);
    } finally {
      connection.close();
    }
  }

  async #sendOver(
    connection: Connection,
    id: string,
    grant: GrantId,
    upstream: Upstream,
  ): Promise<AuthorizationOutcome> {
    const link = freshId(this.#parts, 'lnk');
    const requestedAt = this.#parts.clock.moment();
    const record = await persistently(this.#parts, 'record that a code is sent', grant, () =>
      this.#claim(id, link, requestedAt),
    );
    if (!record?.code) return this.outcome(id);
    const { sealer } = this.#parts;
    const answer = await connection.send(
      codeRequest(
        upstream.provider,
        { ...upstream, clientAssertion: clientAssertion(this.#parts, upstream) },
        {
          code: sealer.open(record.code, 'authorization code', placeOf(record, 'code')),
          redirectUri: upstream.redirectUri,
          codeVerifier:
            record.codeVerifier && sealer.open(record.codeVerifier, 'code verifier', placeOf(record, 'code_verifier')),
        },
      ),
      REQUEST_TIMEOUT_MS,
    );
    if (answer.kind === 'answer') return this.#keepAnswer(id, record, answer);
    const what = answer.kind === 'lost' ? 'did not answer' : 'could not be reached';
    return this.fail(id, `${upstream.provider.name} ${what}: ${answer.reason}.`, TRY_AGAIN);
  }

  /** Records that the code is about to be sent; null when somebody else was first. May be repeated. */
  async #claim(id: string, link: LinkId, requestedAt: Moment): Promise<AuthorizationRecord | null> {
    const claimed = await this.#move(id, 'coded', (value) => ({
      ...value,
      status: 'exchanging',
      link,
      requestedAt,
      node: this.#parts.node,
    }));
    if (claimed) return claimed;
    const { value } = await this.#records.get(id);
    return value.status === 'exchanging' && value.link === link ? value : null;
  }

  /** Journal first, then the record; only then is the answer read. */
  async #keepAnswer(id: string, record: AuthorizationRecord, raw: HttpAnswer): Promise<AuthorizationOutcome> {
    const { grant, link, requestedAt } = record;
    if (!link || !requestedAt) throw new Error('an answer without a request');
    const receivedAt = this.#parts.clock.moment();
    const answer = sealAnswer(this.#parts.sealer, grant, link, keepable(raw));
    const node = this.#parts.node;
    const told = { grant, link, presented: null, sequence: null, generation: null, node };
    await toJournal(this.#parts, { purpose: 'authorization', ...told, requestedAt, receivedAt, answer });
    await persistently(this.#parts, 'store the answer to an authorization', grant, () =>
      this.#move(id, 'exchanging', (value) => ({ ...value, status: 'answered', answer, receivedAt, code: null })),
    );
    return this.#seeThrough(id, grant);
  }

  /** At some providers the old chain is dead by now: the new one does not wait until somebody comes back for it. */
  #seeThrough(id: string, grant: GrantId): Promise<AuthorizationOutcome> {
    const work = () => this.complete(id);
    return persistently(this.#parts, 'finish an authorization', grant, work, (cause) => cause instanceof StoreFailure);
  }

  /** From the recorded answer to the grant's chain. May be repeated from the start after a crash. */
  async complete(id: string): Promise<AuthorizationOutcome> {
    const { value: record } = await this.#records.get(id);
    const { grant, link, answer: sealed, receivedAt, requestedAt } = record;
    if (record.status !== 'answered' || !link || !sealed || !receivedAt || !requestedAt) return this.outcome(id);
    const upstream = await this.#upstreamOf(record);
    const answer = openAnswer(this.#parts.sealer, grant, link, sealed);
    const secrets = upstream.clientSecret ? [upstream.clientSecret] : [];
    const reading = readAnswer(answer, upstream.provider, receivedAt.at, secrets);
    if (reading.kind !== 'tokens') return this.#failReading(id, upstream, reading);
    const { refreshToken } = reading;
    if (!refreshToken) return this.#failWithoutRefreshToken(id, upstream);
    const account = await this.#accountOf(upstream, reading.accessToken, reading.idToken?.reveal() ?? null);
    const target = await this.#targetOf(record, upstream, account);
    if (target.kind === 'failed') return this.fail(id, target.reason, target.remedy);
    if (target.kind === 'unsure') return this.#undecided(record);
    const received: ReceivedLink & { fingerprint: Fingerprint } = {
      id: link,
      fingerprint: this.#parts.sealer.fingerprint(refreshToken),
      node: this.#parts.node,
      requestedAt,
      receivedAt,
      accessTokenLifeMs: accessTokenLifeMs(reading, upstream),
      scope: reading.scope,
    };
    await this.#adopt(target.grant, { ...received }, answer);
    await this.#end(id, { grant: target.grant.id, joined: target.grant.id !== grant });
    return this.outcome(id);
  }

  /** The chain of a grant starts anew with this link. */
  async #adopt(
    grant: GrantRecord,
    link: ReceivedLink & { fingerprint: Fingerprint },
    answer: Parameters<typeof sealAnswer>[3],
  ): Promise<void> {
    const sealed = sealAnswer(this.#parts.sealer, grant.id, link.id, answer);
    const event: ChainEvent & { type: 'authorized' } = {
      type: 'authorized',
      at: this.#parts.clock.moment(),
      by: 'code',
      link,
      answer: sealed,
    };
    const minder = await this.#minders.of(grant.id);
    await minder.change(async () => {
      const { chain } = await this.#parts.store.chains.read(grant.id);
      const isKept = chain.links.some((one) => one.id === link.id);
      if (!isKept) await journalBeginning(this.#parts, grant.id, chain.generation + 1, event);
      return keep(this.#parts, grant.id, event, answer);
    });
    await minder.advance();
  }

  async #accountOf(
    upstream: Upstream,
    accessToken: AccessToken | null,
    idToken: string | null,
  ): Promise<Account | null> {
    const named = accountOfIdToken(idToken);
    // Many an id_token holds no name but the subject (OpenID Connect Core 5.4); a person knows the account by its name.
    if (named?.label || !accessToken) return named;
    if (named) return this.#withLabel(named, upstream, accessToken);
    for (let tries = 0; tries < PROBE_TRIES && upstream.provider.identity; tries++) {
      if (tries > 0) await this.#parts.clock.sleep(PROBE_PAUSE_MS);
      const probe = await probeAccount(this.#parts, upstream, accessToken);
      if (probe.kind === 'accepted') return probe.account;
      this.#parts.log.warn('The account of a new authorization could not be read.', {
        reason: probe.kind === 'unknown' ? probe.reason : 'the provider refused the access token',
      });
    }
    return null;
  }

  /** An answer about another subject says nothing about this one (OpenID Connect Core 5.3.2). */
  async #withLabel(named: Account, upstream: Upstream, accessToken: AccessToken): Promise<Account> {
    const probe = await probeAccount(this.#parts, upstream, accessToken);
    const isSame = probe.kind === 'accepted' && probe.account?.subject === named.subject;
    return isSame ? probe.account : named;
  }

  /**
   * Which grant the new chain belongs to. The same account of the same app is one grant: at some providers the new
   * authorization has ended the older chain already, so the grant that holds the account takes the new chain over.
   */
  async #targetOf(record: AuthorizationRecord, upstream: Upstream, account: Account | null): Promise<Target> {
    const { value: grant } = await this.#registry.record(record.grant);
    const { chain } = await this.#parts.store.chains.read(grant.id);
    if (stateOf(chain) === 'revoked')
      return { kind: 'failed', reason: 'The grant was ended meanwhile.', remedy: TRY_AGAIN };
    if (!account) return grant.account && record.isRenewal ? { kind: 'unsure' } : { kind: 'grant', grant };
    if (grant.account && grant.account.subject !== account.subject) {
      const { cause } = DIAGNOSES.wrong_account;
      const [came, wanted] = [account, grant.account].map(({ label, subject }) => label ?? subject);
      const remedy = `You came as ${came}. Ask for a new link, and sign in as ${wanted}.`;
      return { kind: 'failed', reason: cause, remedy };
    }
    return {
      kind: 'grant',
      grant: await this.#withAccount(grant, `${upstream.registration}|${account.subject}`, account),
    };
  }

  /** Notes the account on the grant, or finds the grant that has it already. */
  async #withAccount(grant: GrantRecord, accountKey: string, account: Account): Promise<GrantRecord> {
    const holder = await this.#registry.byAccount(accountKey);
    if (holder && holder.id !== grant.id) return holder;
    try {
      return await this.#registry.change(grant.id, (value) => ({ ...value, account, accountKey }));
    } catch (cause) {
      // Another authorization of the same account was faster by a moment.
      const faster = await this.#registry.byAccount(accountKey);
      if (faster) return faster;
      throw cause;
    }
  }

  async #failReading(
    id: string,
    upstream: Upstream,
    reading: Exclude<ReturnType<typeof readAnswer>, { kind: 'tokens' }>,
  ): Promise<AuthorizationOutcome> {
    const { name } = upstream.provider;
    const { status, error, description } = reading.said;
    const said = [error, description].filter(Boolean).join(': ') || `status ${status}`;
    const known =
      reading.kind === 'refused' && reading.means in DIAGNOSES ? DIAGNOSES[reading.means as DiagnosisCode] : null;
    return this.fail(id, `${name} refused the authorization code (${said}).`, known?.remedy ?? TRY_AGAIN);
  }

  #failWithoutRefreshToken(id: string, upstream: Upstream): Promise<AuthorizationOutcome> {
    const { scope, name } = upstream.provider;
    const hint = scope.forRefreshToken ? ` Its scope for that is "${scope.forRefreshToken}".` : '';
    return this.fail(
      id,
      `${name} gave an access token but no refresh token, so nothing could be kept alive.`,
      `Check that the app may have refresh tokens.${hint}`,
    );
  }

  /** Another node sent the code, and has its answer or will tell that none came. */
  #isElsewhere({ node = this.#parts.node }: AuthorizationRecord): boolean {
    return this.#parts.store.isShared && node !== this.#parts.node;
  }

  #awaited({ node, returnUrl }: AuthorizationRecord): AuthorizationOutcome {
    return {
      outcome: 'failed',
      reason: `The node ${node} sent the authorization code, and has not told yet what came of it.`,
      remedy: 'Reload this page in a moment; if that node is gone for good, ask for a new link.',
      returnUrl,
    };
  }

  /** A renewal whose account could not be read changes nothing yet; its tokens stay, and it is tried again. */
  #undecided(record: AuthorizationRecord): AuthorizationOutcome {
    return {
      outcome: 'failed',
      reason: 'The account could not be read at the provider, so it is not sure that it is the right one.',
      remedy: 'The answer is kept. Reload this page in a moment to check again.',
      returnUrl: record.returnUrl,
    };
  }

  async fail(id: string, reason: string, remedy: string): Promise<AuthorizationOutcome> {
    await this.#end(id, { reason, remedy });
    return this.outcome(id);
  }

  async #end(id: string, result: NonNullable<AuthorizationRecord['result']>): Promise<void> {
    const status: AuthorizationStatus = 'grant' in result ? 'done' : 'failed';
    const wiped = { code: null, codeVerifier: null, answer: null };
    for (;;) {
      const { version, value } = await this.#records.get(id);
      if (value.status === 'done' || value.status === 'failed') return;
      if (!(await this.#records.update(version, { ...value, ...wiped, status, result }))) continue;
      if (value.link) this.#parts.journal.settled(value.link, 'tokens');
      break;
    }
    if (!('grant' in result)) return;
    const { value } = await this.#records.get(id);
    if (value.grant !== result.grant) await this.#discardIfPending(value.grant);
  }

  /** A grant that turned out to be another one goes, unless it already holds a chain of its own. */
  async #discardIfPending(grant: GrantId): Promise<void> {
    const { chain } = await this.#parts.store.chains.read(grant);
    if (chain.generation === 0) await this.#registry.discard(grant);
  }

  /** How it ended. What was cut off, by a crash or a store that failed, is taken up again. */
  async outcome(id: string): Promise<AuthorizationOutcome> {
    const { value } = await this.#records.get(id);
    const { result, returnUrl } = value;
    if (value.status === 'coded') return this.#sendWhileAlive(id);
    if (value.status === 'exchanging') return this.#resumeExchanging(value);
    if (value.status === 'answered') return this.complete(id);
    if (!result)
      return { outcome: 'failed', reason: 'The authorization is not finished.', remedy: TRY_AGAIN, returnUrl };
    if ('reason' in result) return { outcome: 'failed', ...result, returnUrl };
    return { outcome: 'done', grant: await this.#registry.get(result.grant), joined: result.joined, returnUrl };
  }

  /** What a crash cut off, and how each goes on. Called before anything new begins. */
  async unfinished(): Promise<readonly { readonly id: string; readonly work: () => Promise<AuthorizationOutcome> }[]> {
    const coded = await this.#records.withStatus('coded');
    const sent = await this.#records.withStatus('exchanging');
    const exchanging = sent.filter(({ value }) => !this.#isElsewhere(value));
    const answered = await this.#records.withStatus('answered');
    this.#settleAllBut(new Set([...exchanging, ...answered].map(({ value }) => value.link)));
    return [
      ...coded.map(({ value }) => ({ id: value.id, work: () => this.#sendWhileAlive(value.id) })),
      ...exchanging.map(({ value }) => ({ id: value.id, work: () => this.#resumeExchanging(value) })),
      ...answered.map(({ value }) => ({ id: value.id, work: () => this.#seeThrough(value.id, value.grant) })),
    ];
  }

  /** An authorization that is over needs its answer no more, however it ended. */
  #settleAllBut(needed: ReadonlySet<LinkId | null>): void {
    const { journal } = this.#parts;
    const over = this.#answersAtStart().filter(({ link }) => !needed.has(link));
    for (const { link } of over) journal.settled(link, 'nothing');
  }

  #answersAtStart(): readonly AnswerRecord[] {
    return this.#parts.journal.unsettled().filter((one): one is AnswerRecord => one.purpose === 'authorization');
  }

  /** The code was never sent: it still may be, while it lives. */
  async #sendWhileAlive(id: string): Promise<AuthorizationOutcome> {
    const { value: record } = await this.#records.get(id);
    const lifeMs = (await this.#upstreamOf(record)).provider.policy.life.codeMs ?? ASSUMED_CODE_LIFE_MS;
    const ageMs = this.#parts.clock.now() - (record.codeAt ?? 0);
    if (ageMs < lifeMs) return this.sendCode(record.id);
    return this.fail(record.id, 'The keeper was stopped, and the authorization code has expired meanwhile.', TRY_AGAIN);
  }

  /** The code was sent. Its answer is in the journal, or gone: a code must not be sent twice. */
  async #resumeExchanging(record: AuthorizationRecord): Promise<AuthorizationOutcome> {
    if (this.#isElsewhere(record)) return this.#awaited(record);
    const kept = this.#answersAtStart().find((one) => one.link === record.link);
    if (!kept) {
      return this.fail(record.id, 'The keeper was stopped before the answer to the authorization arrived.', TRY_AGAIN);
    }
    await this.#move(record.id, 'exchanging', (value) => ({
      ...value,
      status: 'answered',
      answer: kept.answer,
      receivedAt: kept.receivedAt,
      code: null,
    }));
    return this.complete(record.id);
  }

  /** Takes a record from one status on, once; null when it was not in that status. */
  async #move(
    id: string,
    from: AuthorizationStatus,
    change: (value: AuthorizationRecord) => AuthorizationRecord,
  ): Promise<AuthorizationRecord | null> {
    for (;;) {
      const { version, value }: Versioned<AuthorizationRecord> = await this.#records.get(id);
      if (value.status !== from) return null;
      const next = change(value);
      if (await this.#records.update(version, next)) return next;
    }
  }

  async #upstreamOf(record: AuthorizationRecord): Promise<Upstream> {
    const { value } = await this.#registry.record(record.grant);
    return this.#upstreams.of(value.app);
  }
}

type Target =
  | { readonly kind: 'grant'; readonly grant: GrantRecord }
  | { readonly kind: 'failed'; readonly reason: string; readonly remedy: string }
  | { readonly kind: 'unsure' };
