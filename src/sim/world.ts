/**
 * One simulated world: nodes, their store, a provider, clients, and what goes wrong, under one virtual clock. The same
 * options give the same run.
 *
 * States: running (clients ask, faults strike) → quiet (nothing is broken any more; every chain must come back) → over.
 */
import type { ChainEvent } from '../core/chain.ts';
import type { GrantId, LinkId } from '../core/id.ts';
import { HORIZON_MS, REQUEST_TIMEOUT_MS } from '../core/next-step.ts';
import { classOf, type RotationPolicy } from '../core/rotation-policy.ts';
import type { ExchangeStep, KeeperParts } from '../keeper/parts.ts';
import type { Sealer } from '../ports/sealer.ts';
import type { Term } from '../ports/store.ts';
import { Chance } from './chance.ts';
import { Clients } from './clients.ts';
import type { Fault } from './faults.ts';
import { Judges } from './judges.ts';
import { Mischief } from './mischief.ts';
import { SimNode } from './node.ts';
import { judgeLoss, type Verdict } from './oracle.ts';
import { simulatedCatalogue } from './provider.ts';
import { StoreOfAll } from './store-of-all.ts';
import { ChainTruth, note, type Span, type TokenTruth } from './truth.ts';
import { type Entry, showsCanary, SimulatedUpstream } from './upstream.ts';
import { VirtualTime } from './virtual-time.ts';
import { Wire } from './wire.ts';

const START = Date.parse('2026-01-01T00:00:00Z');
/** From one backup to the next: mostly less than an hour, up to six. */
const BACKUP_LEAST_MS = 60_000;
const BACKUP_MOST_MS = 6 * 3_600_000;
/** Of a chain, the newest answers that are kept for good; older ones go once newer ones are proven. */
const LINKS_KEPT = 8;
/** A request that was doubled or held up arrives within this time of being sent. */
const MOST_LATE_MS = REQUEST_TIMEOUT_MS + 400_000;
/** A node that is gone is noticed within this time. */
const TAKE_OVER_MS = 15_000;

export interface WorldOptions {
  readonly seed: string;
  readonly policy: RotationPolicy;
  readonly grants: number;
  readonly nodes: number;
  /** It becomes quiet after so many exchanges, or so much time. */
  readonly exchanges: number;
  readonly mostMs: number;
  readonly faults: readonly Fault[];
  /** Share of exchanges that a fault strikes. */
  readonly rate: number;
  readonly sealer: Sealer;
  /** Longest time that a call of the store takes. */
  readonly storeLatencyMs?: number;
  /** Callers that ask at once for each grant; 1 by default. */
  readonly callers?: number;
  /** Nobody asks for anything. */
  readonly isIdle?: boolean;
  /** Share of access tokens that are used at the API. */
  readonly apiUse?: number;
  readonly breathe?: () => Promise<void>;
  /** What a node works with, put wrong: to show that the judges see it. */
  readonly alter?: (parts: KeeperParts) => KeeperParts;
}

export class World {
  readonly options: WorldOptions;
  readonly time: VirtualTime;
  readonly judges = new Judges();
  readonly upstream: SimulatedUpstream;
  readonly store: StoreOfAll;
  readonly wire: Wire;
  readonly nodes: readonly SimNode[];
  readonly mischief: Mischief;
  readonly chains = new Map<string, ChainTruth>();
  readonly byGrant = new Map<GrantId, ChainTruth>();
  readonly clients: Clients;
  readonly #backups: Chance;
  /** When no node could do anything, and when some node could not. */
  readonly #unable: Span[] = [];
  readonly #away: Span[] = [];
  #quietSince: number | null = null;
  /** Requests to the token endpoint until all became quiet. */
  callsWhileIdle = 0;

  constructor(options: WorldOptions) {
    this.options = options;
    const { seed, policy, nodes, faults } = options;
    const time = new VirtualTime(START, options.breathe);
    this.time = time;
    this.upstream = new SimulatedUpstream(
      policy,
      Chance.of(seed, 'provider'),
      () => time.now(),
      (entry) => this.#presented(entry),
    );
    this.store = new StoreOfAll(time, Chance.of(seed, 'store'), {
      isShared: nodes > 1,
      latencyMs: options.storeLatencyMs ?? 0,
      isBackedUp: faults.includes('store_restored') || faults.includes('copies_destroyed'),
      onAppended: (grant, event) => this.#appended(grant, event),
      onGranted: (grant, terms) => this.#granted(grant, terms),
    });
    this.mischief = this.#newMischief();
    this.wire = this.#newWire();
    this.nodes = this.#newNodes();
    this.clients = new Clients(this, Chance.of(seed, 'clients'));
    this.#backups = Chance.of(seed, 'backups');
  }

  async run(): Promise<Judges> {
    const { time, options } = this;
    for (const node of this.nodes) void node.start();
    await time.until(Promise.all(this.nodes.map((node) => node.ready())));
    this.#backUpSometimes();
    const end = time.now() + options.mostMs;
    this.clients.begin(options.grants);
    while (time.now() < end && this.upstream.exchanges < options.exchanges) await time.runTo(time.now() + 60_000);
    await this.#becomeQuiet();
    return this.judges;
  }

  get elapsedMs(): number {
    return this.time.now() - START;
  }

  get isQuiet(): boolean {
    return this.#quietSince !== null;
  }

  newChain(account: string): ChainTruth {
    const chain = new ChainTruth(account, this.upstream.begin(account), this.time.now());
    this.chains.set(account, chain);
    return chain;
  }

  /** A person would begin anew; here another account does. */
  forgetChain(chain: ChainTruth): void {
    this.chains.delete(chain.account);
    // Of each grant that it had: a restored store may have forgotten one, and taken its token again.
    for (const [grant, one] of this.byGrant) if (one === chain) this.byGrant.delete(grant);
    this.upstream.forget(chain.account);
  }

  async #becomeQuiet(): Promise<void> {
    this.mischief.stop();
    this.wire.heal();
    this.store.healAll();
    for (const node of this.nodes) {
      node.disk.fill(0);
      if (!node.life.isAlive) {
        node.upAt = this.time.now();
        void node.start();
      }
    }
    this.#noticeAbility();
    this.#quietSince = this.time.now();
    this.callsWhileIdle = this.upstream.exchanges;
    await this.clients.recoverAll();
    this.#judgeRest();
  }

  /** What must not be left over once all is quiet. */
  #judgeRest(): void {
    const { judges, time, store } = this;
    if (this.nodes.some((node) => showsCanary(node.disk.records()))) {
      judges.violated('I10', time.now(), 'a token stands in a journal');
    }
    for (const chain of this.chains.values()) {
      if (chain.isOver || !chain.grant) continue;
      this.#judgeCopies(chain);
      const stored = store.inner.look(chain.grant);
      if (stored.chain.attempts.length > 0)
        judges.violated('I14', time.now(), `${chain.account} has attempts without an end`);
      for (const node of this.nodes) {
        const left = node.disk.unsettled().filter((one) => one.grant === chain.grant);
        if (left.length > 0) judges.violated('I14', time.now(), `${node.id} has ${left.length} unsettled records`);
      }
      if (showsCanary([stored.chain, ...stored.events, ...stored.answers.values()]))
        judges.violated('I10', time.now(), 'a token stands in the store');
    }
  }

  /** What was written down once and is taken still must be there, of all that a chain remembers. */
  #judgeCopies(chain: ChainTruth): void {
    for (const token of chain.tokens.filter((one) => one.wasKept).slice(-LINKS_KEPT)) {
      if (token.isDestroyed || !this.upstream.takes(token.token) || this.#isKept(chain, token)) continue;
      this.judges.violated('I2', this.time.now(), `${token.token} of ${chain.account} is alive, and no copy is left`);
    }
  }

  /** From when every node has joined: a store that never heard of a node cannot say that it is missing. */
  #backUpSometimes(): void {
    this.store.backUp();
    this.upstream.backUp();
    const pauseMs = BACKUP_LEAST_MS * (BACKUP_MOST_MS / BACKUP_LEAST_MS) ** this.#backups.share();
    this.time.after(Math.floor(pauseMs), () => this.#backUpSometimes());
  }

  #newNodes(): readonly SimNode[] {
    const { sealer, nodes, policy, seed } = this.options;
    const catalogue = simulatedCatalogue(policy);
    return Array.from({ length: nodes }, (_, i) => {
      const id = `node-${i + 1}`;
      return new SimNode(id, {
        time: this.time,
        store: this.store,
        sealer,
        catalogue,
        chance: Chance.of(seed, id),
        network: (node) => this.wire.of(node),
        atStep: (node, step, grant) => this.#atStep(node, step, grant),
        sealed: (grant, link) => this.#sealed(grant, link),
        logged: (line) => this.#logged(line),
        changed: () => this.#noticeAbility(),
        alter: this.options.alter ?? ((parts) => parts),
      });
    });
  }

  #newWire(): Wire {
    return new Wire(this.time, Chance.of(this.options.seed, 'wire'), this.upstream, {
      chain: (account) => this.chains.get(account),
      sending: (node, chain, token) => this.#sending(node, chain, token),
      struck: (fault, chain) => this.#strike(fault, chain),
      crash: (node) => node.crash(this.mischief.downMs()),
    });
  }

  #newMischief(): Mischief {
    const { faults, rate, seed } = this.options;
    const { time, store } = this;
    return new Mischief({
      chance: Chance.of(seed, 'mischief'),
      faults,
      rate,
      now: () => time.now(),
      later: (ms, run) => time.after(ms, run),
      strike: (fault, chain) => this.#strike(fault, chain),
      clockSet: () => {
        for (const one of this.chains.values()) one.injured(time.now(), 'clock_jump');
      },
      crash: (node, downMs) => node.crash(downMs),
      crashAll: (downMs) => {
        for (const node of this.nodes) node.crash(downMs);
      },
      cutNetwork: (ms) => this.wire.cut(ms),
      storeDown: (ms, inMs) => {
        time.after(inMs, () => {
          if (this.mischief.isOver) return;
          store.goDown(ms);
          this.#noticeAbility();
          time.after(ms, () => this.#noticeAbility());
        });
      },
      storeSlow: (ms) => store.goSlow(ms),
      failStore: (skip, times, effect) => store.fail({ skip, times, effect }),
      restoreStore: (losesJournals) => this.#restoreStore(losesJournals),
      restoreProvider: () => {
        for (const account of this.upstream.restore()) {
          const chain = this.chains.get(account);
          if (chain) chain.forgottenAt = time.now();
        }
      },
      revoke: (chain) => {
        chain.endedBy = 'revoked';
        this.upstream.revoke(chain.account);
      },
      useElsewhere: (chain) => this.#useElsewhere(chain),
    });
  }

  /** Another system takes the newest token, and goes on with what it gets. */
  #useElsewhere(chain: ChainTruth): void {
    const stolen = chain.tokens.findLast((one) => one.deliveredAt !== null);
    if (!stolen) return;
    chain.endedBy = 'used_elsewhere';
    const { entry } = this.upstream.exchange(stolen.token, 'other');
    if (entry.accessToken !== null) this.upstream.useAccessToken(entry.accessToken);
    if (entry.issued !== null && entry.issued !== stolen.token) this.upstream.exchange(entry.issued, 'other');
  }

  #restoreStore(losesJournals: boolean): void {
    const downMs = this.mischief.downMs();
    for (const node of this.nodes) {
      // Whoever restores a database starts all nodes again, within a minute.
      node.crash(downMs + this.mischief.apartMs());
      if (losesJournals) node.disk.lose();
    }
    for (const chain of this.chains.values()) {
      // What is published begins again with what the store and the first journal have.
      chain.lastPublished = 0;
      chain.restoredAt = this.time.now();
    }
    this.store.restore();
    for (const chain of this.chains.values()) {
      chain.noticeDestroyed((token) => this.#isKept(chain, token), this.time.now());
    }
  }

  #strike(fault: Fault, chain: ChainTruth | null): void {
    this.judges.injuredBy(fault);
    this.judges.trace(this.time.now(), `${chain?.account ?? 'all'} ${fault}`);
    const injured = chain ? [chain] : this.chains.values();
    for (const one of injured) one.injured(this.time.now(), fault);
  }

  #atStep(node: SimNode, step: ExchangeStep, grant: GrantId): boolean {
    const chain = this.byGrant.get(grant);
    if (!chain) return false;
    if (step === 'journaled') this.#journaled(chain);
    return this.mischief.atStep(node, step, chain);
  }

  #journaled(chain: ChainTruth): void {
    const token = chain.tokens.at(-1);
    if (token?.link && this.nodes.some((node) => node.disk.holds(token.link as LinkId))) this.#kept(chain, token);
  }

  #kept(chain: ChainTruth, token: TokenTruth): void {
    if (token.wasKept) return;
    token.wasKept = true;
    chain.answeredWith(token, this.time.now());
  }

  #sealed(grant: GrantId, link: LinkId): void {
    const chain = this.byGrant.get(grant);
    const token = chain?.arriving;
    if (!chain || !token) return;
    chain.arriving = null;
    // What a run had received that died since is lost with it.
    if (token.life?.isAlive) token.link = link;
  }

  #sending(node: SimNode, chain: ChainTruth, token: string) {
    const { judges, time } = this;
    judges.trace(time.now(), `${chain.account} sends ${token}`);
    chain.sent++;
    chain.sender = node.id;
    if (chain.unansweredSince === null) chain.heldUpMs = time.now() - (chain.recorded?.at ?? time.now());
    chain.recorded = null;
    if (chain.sent > chain.started)
      judges.violated('I13', time.now(), `${chain.account} was presented without a record`);
    this.#judgePatience(chain, token);
    // What a run sent that died since is nobody's any more; nor is it another node's fault what a paused one has sent.
    if (chain.onWire.includes(node.life.run)) {
      judges.violated('I4', time.now(), `${chain.account} has two exchanges on the wire`);
    }
    return this.mischief.onWire(chain);
  }

  /** Where a second presentation always revokes, an earlier one must have had the time to arrive. */
  #judgePatience(chain: ChainTruth, token: string): void {
    if (classOf(this.options.policy).class !== 'one-time-revoking') return;
    const last = chain.presentations.findLast((one) => one.token === token);
    if (!last || this.time.now() - last.at >= HORIZON_MS || chain.hasForgotten(last.at)) return;
    this.judges.violated('I3', this.time.now(), `${token} was presented again ${this.time.now() - last.at} ms later`);
  }

  /** Too early is only what comes too early after an answer, or after the first of the presentations without one. */
  #judgeSpacing(chain: ChainTruth): void {
    const { minSpacingMs } = this.options.policy.pacing;
    const now = this.time.now();
    const { unansweredSince, lastAnsweredAt } = chain.heardBy(chain.sender);
    const isFirst = unansweredSince === null || unansweredSince === chain.presentations.at(-1)?.at;
    const since = isFirst ? lastAnsweredAt : unansweredSince - chain.heldUpMs;
    // When an imported token was made is known by its importer's clock alone; what others do, not at all.
    const isForeign = !chain.tokens.some((one) => one.parent !== null && one.wasKept) || chain.endedBy !== null;
    if (now - since >= minSpacingMs || isForeign || chain.hasForgotten(since)) return;
    // What arrives late counts for the provider from then on.
    if (chain.wasDoubledSince(now - minSpacingMs - MOST_LATE_MS)) return;
    this.judges.violated('I8', now, `${chain.account} was presented ${now - since} ms after the last time`);
  }

  #presented(entry: Entry): void {
    const chain = entry.by === 'keeper' && entry.reason === 'too-early' ? this.chains.get(entry.account) : undefined;
    if (chain) this.#judgeSpacing(chain);
    this.judges.trace(entry.at, `${entry.account} by ${entry.by} ${entry.presented} ${entry.reason} ${entry.issued}`);
  }

  #logged(line: readonly unknown[]): void {
    if (showsCanary(line)) this.judges.violated('I10', this.time.now(), 'a token stands in the log');
  }

  /** From now on its chain is known, whether or not whoever brings it hears of it before the keeper uses it. */
  #granted(grant: GrantId, terms: readonly Term[]): void {
    const chain = this.chains.get(terms.find((term) => term.name === 'alias')?.value ?? '');
    if (!chain) return;
    chain.grant = grant;
    this.byGrant.set(grant, chain);
  }

  #appended(grant: GrantId, event: ChainEvent): void {
    const chain = this.byGrant.get(grant);
    if (!chain) return;
    const { time, judges } = this;
    judges.trace(time.now(), `${chain.account} ${event.type}`);
    switch (event.type) {
      case 'started':
        chain.started++;
        chain.recorded = { attempt: event.id, at: time.now() };
        break;
      case 'lost':
        // Its node died before it was sent, which nobody can know: for the keeper it may have been the first of several.
        if (chain.recorded?.attempt === event.id) chain.unansweredSince ??= chain.recorded.at;
        break;
      case 'received': {
        const token = chain.tokens.findLast((one) => one.link === event.link.id);
        if (token) {
          this.#kept(chain, token);
          chain.stored(token);
          token.sequence = event.sequence;
        }
        break;
      }
      case 'published': {
        const token = chain.tokens.findLast((one) => one.link === event.link);
        if (token && token.sequence < chain.lastPublished) {
          judges.violated('I9', time.now(), `${chain.account} went back in what it published`);
        }
        if (token) chain.lastPublished = token.sequence;
        break;
      }
      case 'deferred':
        chain.tried(time.now()).to = time.now();
        break;
      case 'broken':
        this.#brokenBy(chain, event.diagnosis.code);
        break;
      default:
    }
  }

  #brokenBy(chain: ChainTruth, diagnosis: string): void {
    if (chain.isOver) return;
    const isUnderWay = this.nodes.some(({ life }) => !life.isPaused && chain.onWire.includes(life.run));
    if (isUnderWay) {
      this.judges.violated('I7', this.time.now(), `${chain.account} was called broken while an exchange was under way`);
    }
    chain.isOver = true;
    this.#lost(chain, this.time.now(), this.verdict(chain), diagnosis);
  }

  /** Asks the oracle about a chain that is lost. */
  verdict(chain: ChainTruth): Verdict {
    const kept = new Set(chain.tokens.slice(-40).filter((token) => this.#isKept(chain, token)));
    return judgeLoss({
      chain,
      policy: this.options.policy,
      entries: this.upstream.entries(chain.account),
      now: this.time.now(),
      isKept: (token) => kept.has(token),
      takes: (token) => this.upstream.takes(token),
      hasForgotten: (sentAt) => chain.hasForgotten(sentAt),
      unable: this.#unable,
      away: this.#away,
      takeOverMs: this.options.nodes > 1 ? TAKE_OVER_MS : 0,
    });
  }

  #isKept({ grant, tokens }: ChainTruth, token: TokenTruth): boolean {
    const stored = grant === null ? null : this.store.inner.look(grant);
    // The link of an import is made by the keeper alone.
    if (token.parent === null) token.link ??= stored?.chain.links.find((link) => link.parent === null)?.id ?? null;
    const { link } = token;
    if (link === null) return token.parent === null && tokens.length < 4;
    return this.nodes.some((node) => node.disk.holds(link)) || stored?.answers.has(link) === true;
  }

  #lost(chain: ChainTruth, at: number, verdict: Verdict, diagnosis: string): void {
    const faults = [...new Set(chain.injuries.slice(-6).map((one) => one.fault))];
    const rule = verdict.kind === 'avoidable' ? 'avoidable' : verdict.rule;
    this.judges.lost({ at, account: chain.account, rule, why: verdict.why, diagnosis, faults });
    if (verdict.kind === 'avoidable') {
      if (verdict.isAlive) this.judges.violated('I7', at, `${chain.account} was called broken, and lives`);
      this.judges.violated(
        'I12',
        at,
        `${chain.account} was lost (${diagnosis}) after ${faults.join(', ')}: ${verdict.why}`,
      );
    } else if (rule === 'unanswered' && diagnosis !== 'successor_lost' && chain.knowsOfLoss()) {
      this.judges.violated('I6', at, `${chain.account} lost an answer, and the diagnosis is ${diagnosis}`);
    }
  }

  #noticeAbility(): void {
    const isThere = (node: SimNode): boolean => node.keeper !== null && !node.life.isPaused;
    note(this.#unable, this.store.isDown || !this.nodes.some(isThere), this.time.now());
    note(this.#away, !this.nodes.every(isThere), this.time.now());
  }
}
