/**
 * Minds one chain: holds what is known of it in memory, and takes it from step to step, one at a time.
 *
 * States: idle (nothing under way) → working (one run of steps, whoever asked) → idle. A chain in doubt sets an alarm
 * for its next step when it becomes idle; everything else happens when somebody asks, or the watch finds it due.
 * Beside it: current → stale (another node changed it, or may have) → current, once it was read again.
 */
import { type Chain, type Link, publishedLink } from '../core/chain.ts';
import type { ChainEvent } from '../core/chain.ts';
import { isUndecided } from '../core/due.ts';
import type { AppId, GrantId, LinkId, NodeId } from '../core/id.ts';
import { after, type Instant } from '../core/instant.ts';
import { nextStep, type Step } from '../core/next-step.ts';
import type { RotationPolicy } from '../core/rotation-policy.ts';
import type { AccessToken } from '../core/secret.ts';
import { type DueOf, LeaseLost, type StoredChain } from '../ports/store.ts';
import { Alarm } from './alarm.ts';
import { Bell } from './bell.ts';
import type { Barred, May } from './cluster.ts';
import { exchange } from './exchange.ts';
import { heldAnswer } from './held-answers.ts';
import type { LiveAccessToken } from './keeper.ts';
import { type KeeperParts, reach } from './parts.ts';
import { tokensOf } from './reading.ts';
import type { GrantRecord } from './records.ts';
import { type Held, Served } from './served.ts';
import { isHeaderScheme } from './schemes/scheme.ts';
import type { Upstream } from './upstream.ts';
import { type Freshness, ON_DEMAND } from './freshness.ts';

export interface MinderHooks {
  /** The chain wants something done then, although nobody asks. */
  onDue(at: Instant): void;
  /** Called in the background after a link was published. */
  onPublished(grant: GrantId, upstream: Upstream, link: Link, accessToken: AccessToken): Promise<void>;
}

/** Whether this node may start an exchange now; see `Cluster`. */
export interface Gate {
  mayStart(policy: RotationPolicy): May;
  readonly isRestoring: boolean;
  lost(): void;
  forgotten(): void;
}

function publishedSequence(chain: Chain): number {
  return publishedLink(chain)?.sequence ?? 0;
}

type Untimed<E> = E extends unknown ? Omit<E, 'at'> : never;

/** What keeps a node from exchanging may be over sooner than it must: it is looked at again this soon. */
const BARRED_PAUSE_MS = 500;
/** While the store is away, what was served a moment ago goes on being served for this long. */
const SERVE_UNREAD_MS = 300_000;

export class ChainMinder {
  readonly grant: GrantId;
  readonly app: AppId;
  readonly #parts: KeeperParts;
  readonly #upstream: () => Promise<Upstream>;
  readonly #hooks: MinderHooks;
  readonly #gate: Gate;
  readonly #dueOf: (upstream: Upstream, freshness: Freshness) => DueOf;
  readonly #stop: AbortSignal;
  readonly #alarm: Alarm;
  /** What the grant's record wishes. */
  freshness: Freshness;
  #staleSinceMs: number | null = null;
  #newestVersion = 0;
  #onChange: (() => void)[] = [];
  #stored: StoredChain | null = null;
  readonly #served: Served;
  /** What this run received, stored and read back, until it is published: it need not be opened again. */
  #kept: { readonly link: LinkId; readonly accessToken: AccessToken } | null = null;
  #working: Promise<void> | null = null;
  #notAheadBeforeMs = 0;

  constructor(
    parts: KeeperParts,
    { id: grant, app, freshness = ON_DEMAND }: Pick<GrantRecord, 'id' | 'app' | 'freshness'>,
    upstream: () => Promise<Upstream>,
    hooks: MinderHooks,
    gate: Gate,
    dueOf: (upstream: Upstream, freshness: Freshness) => DueOf,
    stop: AbortSignal,
  ) {
    this.#parts = parts;
    this.grant = grant;
    this.app = app;
    this.freshness = freshness;
    this.#upstream = upstream;
    this.#hooks = hooks;
    this.#gate = gate;
    this.#dueOf = dueOf;
    this.#stop = stop;
    this.#served = new Served(parts.clock, () => this.#exchangeAhead());
    this.#alarm = new Alarm(parts, grant, { dueInMs: () => this.#dueInMs(), advance: () => this.advance() }, stop);
  }

  /** The chain as last seen by this process. */
  async stored(): Promise<StoredChain> {
    const stored = this.#stored ?? (await this.#read());
    this.#stored ??= stored;
    return this.#stored;
  }

  /**
   * The live access token, from memory alone; null when there is none with so much life left, or another node may have
   * a newer one.
   */
  peek(minTtlMs: number): LiveAccessToken | null {
    return this.#staleSinceMs === null ? this.live(minTtlMs) : null;
  }

  /** The same after `load`. */
  live(minTtlMs: number): LiveAccessToken | null {
    return this.#served.live(minTtlMs);
  }

  /**
   * A chain that lost events which were stored: the database went back to an older state. What is learnt while it is read
   * may be newer than what the answer shows.
   */
  async #read(): Promise<StoredChain> {
    const known = this.#newestVersion;
    const stored = await this.#parts.store.chains.read(this.grant);
    if (stored.version > 0 && stored.version < known) this.#gate.forgotten();
    this.#newestVersion = stored.version < known ? stored.version : Math.max(this.#newestVersion, stored.version);
    return stored;
  }

  #note(stored: StoredChain): void {
    this.#stored = stored;
    this.#newestVersion = stored.version;
  }

  /** While something is under way, nobody reads: a store that went back meanwhile is to be noticed all the same. */
  async verify(): Promise<void> {
    if (this.#working) await this.#read();
  }

  /** Where the published link stands in the order of exchanges; 0: none is. */
  async published(): Promise<number> {
    return publishedSequence((await this.stored()).chain);
  }

  get isWorking(): boolean {
    return this.#working !== null;
  }

  /** Nothing is under way, no alarm is set, and no access token is served from memory. */
  get isUnused(): boolean {
    return !this.#working && !this.#alarm.isSet && !this.#served.isDoubted && !this.live(0);
  }

  /** Resolves when nothing is under way. Never rejects. */
  async idle(): Promise<void> {
    while (this.#working) await this.#working.catch(() => undefined);
  }

  upstream(): Promise<Upstream> {
    return this.#upstream();
  }

  /** What the chain would do now. */
  async step(): Promise<Step> {
    const { chain } = await this.stored();
    const { policy } = (await this.#upstream()).provider;
    const step = nextStep(chain, policy, this.#parts.clock.moment());
    if (step.step !== 'exchange' || this.#gate.mayStart(policy).may !== 'wait') return step;
    return { ...step, waitMs: Math.max(step.waitMs, BARRED_PAUSE_MS) };
  }

  /** What keeps this node from a step that the chain would take sooner; null where nothing does. */
  async barred(): Promise<Barred | null> {
    const { chain } = await this.stored();
    const { policy } = (await this.#upstream()).provider;
    const step = nextStep(chain, policy, this.#parts.clock.moment());
    const may = this.#gate.mayStart(policy);
    return step.step === 'exchange' && may.may === 'wait' && may.atMostMs > step.waitMs ? may : null;
  }

  /** Another node changed the chain, or may have. */
  changed(): void {
    this.#staleSinceMs ??= this.#parts.clock.moment().uptimeMs;
    const waiting = this.#onChange;
    this.#onChange = [];
    for (const wake of waiting) wake();
  }

  /** Resolves when the chain was changed by another node, or after so many milliseconds. */
  async nextChange(mostMs: number, stop: AbortSignal): Promise<void> {
    if (stop.aborted) return;
    const over = new Bell();
    const wake = (): void => over.ring();
    this.#onChange.push(wake);
    stop.addEventListener('abort', wake);
    await this.#parts.clock.sleep(mostMs, over);
    stop.removeEventListener('abort', wake);
    this.#onChange = this.#onChange.filter((one) => one !== wake);
  }

  /**
   * Brings the token that the store says is published into memory, if it is still alive. While the store cannot be read,
   * what was current a moment ago stands.
   */
  load(): Promise<void> {
    return this.#staleSinceMs === null ? this.#load() : this.#loadAnew(this.#staleSinceMs);
  }

  async #loadAnew(staleSince: number): Promise<void> {
    this.#staleSinceMs = null;
    const before = this.#stored;
    if (!this.#working) this.#stored = null;
    try {
      await this.#load();
    } catch (cause) {
      this.#staleSinceMs ??= staleSince;
      const isRecent = this.#parts.clock.moment().uptimeMs - staleSince < SERVE_UNREAD_MS;
      if (!isRecent || !before || !this.live(0)) throw cause;
      this.#stored = before;
    }
  }

  async #load(): Promise<void> {
    const { chain } = this.#stored ?? (await this.stored());
    const link = publishedLink(chain);
    if (!link || this.#served.isRejected(link)) this.#served.drop();
    else if (!this.#served.isOf(link)) this.#served.take(await this.#open(link));
  }

  /**
   * Takes the chain as far as it goes now: until a token was published, there is something to wait for, or nothing can
   * be done. Whoever asks while a run is under way gets that run. A token that lives on is no reason not to exchange:
   * whoever calls this wants a newer one than it has `seen` (the sequence of a published link); one that another node
   * got meanwhile will do.
   */
  advance(seen = this.#stored ? publishedSequence(this.#stored.chain) : undefined): Promise<void> {
    this.#working ??= this.#run(seen);
    return this.#working;
  }

  async #tellDue(): Promise<void> {
    const upstream = await this.#upstream();
    const at = this.#stored && this.#dueOf(upstream, this.freshness)(this.#stored.chain);
    if (at !== null) this.#hooks.onDue(at);
  }

  /** Something outside changed the chain: a new authorization, an end. Waits for what is under way. */
  async change(work: () => Promise<StoredChain>): Promise<void> {
    await this.idle();
    this.#stored = await work();
    await this.load();
  }

  /** Forgets what it knows; the next look reads the store. */
  forget(): void {
    this.#stored = null;
  }

  /**
   * Does what the chain wants although nobody asks, if it does by now; otherwise notes when it will. Where nothing could
   * be done, it is looked at again after a while.
   */
  async tend(pauseMs: number): Promise<void> {
    await this.idle();
    this.#stored = null;
    const dueOf = this.#dueOf(await this.#upstream(), this.freshness);
    const before = await this.stored();
    const now = this.#parts.clock.now();
    const at = dueOf(before.chain);
    if (at === null || at > now) return this.#parts.store.chains.reschedule(this.grant, before.version, at);
    await this.advance();
    const { version } = await this.stored();
    if (version === before.version) await this.#parts.store.chains.reschedule(this.grant, version, after(now, pauseMs));
  }

  /** The provider refuses this access token although it should live: it is not served any more. */
  reject(accessToken: AccessToken): void {
    this.#served.reject(accessToken);
  }

  /** Looks into a doubt about the access token; see `Served`. */
  doubt(look: () => Promise<void>): Promise<void> {
    return this.#served.doubt(look);
  }

  /** Takes steps because of a doubt about this access token, once for each. */
  async exchangeOnceFor(accessToken: AccessToken): Promise<void> {
    if (this.#served.isFirstDoubtOf(accessToken)) await this.advance();
  }

  /** Stops serving what it holds. */
  drop(): void {
    this.#served.drop();
    this.#stored = null;
  }

  async #run(seen: number | undefined): Promise<void> {
    if (this.#staleSinceMs !== null) this.#stored = null;
    try {
      await this.#takeSteps(seen ?? (await this.published()));
    } catch (cause) {
      this.#stored = null;
      throw cause;
    } finally {
      // Never before `advance` has it: steps begin with a wait.
      this.#working = null;
      this.#kept = null;
      this.#setAlarm();
      this.#inBackground(this.#tellDue());
    }
  }

  async #takeSteps(seen: number): Promise<void> {
    const upstream = await this.#upstream();
    for (;;) {
      const { chain, version } = this.#stored ?? (await this.stored());
      const step = nextStep(chain, upstream.provider.policy, this.#parts.clock.moment());
      switch (step.step) {
        case 'none':
        case 'await':
          return;
        case 'hold':
          if (await this.#stayHeld(step.node)) return;
          break;
        case 'give_up':
          if (this.#gate.isRestoring) return this.#hold(null);
          await this.#appendIfUnchanged(version, { type: 'broken', diagnosis: step.diagnosis });
          return;
        case 'publish':
          if (await this.#publish(version, upstream)) return;
          break;
        case 'exchange': {
          // After a restore all that was held goes on, also where there is nothing to ask for.
          if (isHeaderScheme(upstream.scheme)) return;
          const isServed = step.because === 'next' && publishedSequence(chain) > seen;
          if (step.waitMs > 0 || isServed || this.#stop.aborted) return;
          const { may } = this.#gate.mayStart(upstream.provider.policy);
          if (may === 'wait') return;
          if (may === 'hold') return this.#hold(null);
          if (!(await this.#exchange({ chain, version }, step.present, upstream))) return;
        }
      }
    }
  }

  /** False where this node had lost its place in the store: nothing was sent. */
  async #exchange(stored: StoredChain, present: LinkId, upstream: Upstream): Promise<boolean> {
    const dueOf = this.#dueOf(upstream, this.freshness);
    const onIntended = (version: number): void => {
      this.#newestVersion = version;
    };
    const onKept = (link: LinkId, accessToken: AccessToken): void => {
      this.#kept = { link, accessToken };
    };
    const work = { parts: this.#parts, grant: this.grant, upstream, dueOf, onIntended, onKept };
    try {
      this.#note(await exchange(work, stored, present));
      return true;
    } catch (cause) {
      if (!(cause instanceof LeaseLost)) throw cause;
      this.#gate.lost();
      return false;
    }
  }

  /** False where what it was held for is over. */
  async #stayHeld(node: NodeId | null): Promise<boolean> {
    const { chain, version } = await this.stored();
    if (chain.hold?.why === 'restore' && !this.#gate.isRestoring) {
      await this.#appendIfUnchanged(version, { type: 'released' });
      return false;
    }
    if (!chain.hold) await this.#appendIfUnchanged(version, { type: 'held', why: 'journal', node });
    return true;
  }

  /** After a restore, until every node has merged its journal. */
  async #hold(node: NodeId | null): Promise<void> {
    const { chain, version } = await this.stored();
    if (!chain.hold) await this.#appendIfUnchanged(version, { type: 'held', why: 'restore', node });
  }

  /** Lets the newest link be served; false when the chain had moved on meanwhile. */
  async #publish(version: number, upstream: Upstream): Promise<boolean> {
    const link = (this.#stored ?? (await this.stored())).chain.links.at(-1);
    if (!link) return false;
    const kept = this.#kept?.link === link.id && !link.damagedAt ? this.#kept : null;
    const held = kept ? { link, accessToken: kept.accessToken } : await this.#open(link);
    const done = await this.#appendIfUnchanged(version, { type: 'published', link: link.id });
    if (!done) return false;
    this.#served.take(held);
    await reach(this.#parts, 'published', this.grant);
    if (held) this.#inBackground(this.#hooks.onPublished(this.grant, upstream, link, held.accessToken));
    return true;
  }

  async #appendIfUnchanged(
    version: number,
    event: Untimed<Extract<ChainEvent, { type: 'published' | 'broken' | 'held' | 'released' }>>,
  ): Promise<boolean> {
    const at = this.#parts.clock.moment();
    const dueOf = this.#dueOf(await this.#upstream(), this.freshness);
    const { outcome, ...stored } = await this.#parts.store.chains.append(this.grant, version, { ...event, at }, dueOf);
    this.#note(stored);
    return outcome === 'appended';
  }

  /** The access token of a link, opened; null where its answer had none. */
  async #open(link: Link): Promise<Held | null> {
    if (link.accessTokenLifeMs === null || link.damagedAt) return null;
    const { provider } = await this.#upstream();
    const answer = await heldAnswer(this.#parts, this.grant, link.id);
    if (!answer) {
      // What was found to be lost is in the store now.
      this.#stored = null;
      return null;
    }
    const { accessToken } = tokensOf(answer, provider, link.receivedAt.at);
    return accessToken ? { link, accessToken } : null;
  }

  /** Exchanges in the background while the present token still serves, so that an outage at its end harms nobody. */
  #exchangeAhead(): void {
    const { uptimeMs } = this.#parts.clock.moment();
    if (this.#working || this.#stop.aborted || uptimeMs < this.#notAheadBeforeMs) return;
    this.#notAheadBeforeMs = uptimeMs + 1_000;
    this.#inBackground(this.advance());
  }

  /**
   * A chain in doubt is not left until somebody asks: its window may close. Nor is one whose newest token was refused,
   * until it is known whether the chain is broken, or one of which nothing is known because its last run failed.
   */
  #setAlarm(): void {
    if (!this.#stored || isUndecided(this.#stored.chain)) this.#alarm.set();
  }

  /** When the next step of an undecided chain is due; null where nothing is open, or another run's answer decides. */
  async #dueInMs(): Promise<number | null> {
    if (!isUndecided((await this.stored()).chain)) return null;
    const step = await this.step();
    if (step.step === 'exchange') return step.waitMs;
    return step.step === 'publish' || step.step === 'give_up' ? 0 : null;
  }

  #inBackground(work: Promise<unknown>): void {
    work.catch((cause: unknown) => {
      this.#parts.log.error('Work in the background failed.', { grant: this.grant }, cause);
    });
  }
}
