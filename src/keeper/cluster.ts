/**
 * This node among those that share the store. While its lease lasts it may start exchanges; when another node's lease
 * ends, what that one had under way is taken over.
 *
 * States: apart (no lease) ──join──▶ here ──lease lost, or the store silent for as long as it lasts──▶ apart.
 * Beside it: merging (what the journal has and the store has not is brought there; nothing is presented) → merged; after a
 * restore of the store from an older backup: restoring (another node has not merged yet) → whole; and where all nodes
 * were down: waking (another one may know of a restore) → awake, once all are here or had a minute.
 *
 * No lock can keep a request that is on its way from arriving, so nothing here decides what is harmless: that is
 * `core/next-step`, which also knows what is on its way.
 */
import { createHash } from 'node:crypto';
import { EvergrantError } from '../core/errors.ts';
import type { GrantId, NodeId } from '../core/id.ts';
import { HORIZON_MS } from '../core/next-step.ts';
import { classOf, type RotationPolicy, rejectsReuse } from '../core/rotation-policy.ts';
import type { ClusterView, NodeRecord } from '../ports/store.ts';
import type { KeeperParts } from './parts.ts';
import type { StoreClock } from './store-clock.ts';

/** A node that dies is missed after this long by the store's clock. A reuse interval of 30 s must outlast it. */
export const LEASE_MS = 10_000;
/** How often a lease is prolonged, and the others are looked at. */
const BEAT_MS = 2_500;
/**
 * What a run that is gone left is looked for again, soon and then now and then: its last claim may be written after its
 * end, by a database that was slow to take it.
 */
const LOOK_AGAIN_MS = 10_000;
const LOOK_SELDOM_MS = 60_000;

export interface ClusterHooks {
  /**
   * Brings the journal's records above this number into the store. `mayWait`: journals of nodes that are not here yet may
   * have what comes before some of them. Gives how many do wait.
   */
  readonly merge: (since: number, mayWait: boolean) => Promise<number>;
  /** Whether the store remembers less of this node's journal than it was once told. */
  readonly isStoreOlder: (merged: number) => boolean;
  /** Tells the store how far the journal is merged by now, where that is news; `again`: also where it forgot it. */
  readonly noteMerged: (again?: 'again') => Promise<void>;
  /** The attempts of these nodes cannot go on: their leases are over. Nor can those of earlier runs of this node. */
  readonly takeOver: (gone: ReadonlyMap<NodeId, NodeRecord>) => Promise<void>;
  /** Resolves when nothing that was begun before is under way on this node. */
  readonly quiet: () => Promise<void>;
  /** The journal of this node was merged. */
  readonly consulted: (node: NodeId) => Promise<void>;
  /** The store may hold something else than what is remembered here. */
  readonly forget: () => void;
  /** Every journal was merged after a restore. */
  readonly whole: () => Promise<void>;
}

/**
 * Whether an exchange may be started by this node now. apart: it has no place in the store, or has not merged its
 * journal. woken, restored: what a node that is not here knows of a restore, or what is on its way since one, is waited
 * for, so long at most. hold: until other nodes have merged their journals.
 */
export type May = { readonly may: 'yes' } | { readonly may: 'hold' } | Barred;
export interface Barred {
  readonly may: 'wait';
  readonly because: 'apart' | 'woken' | 'restored';
  readonly atMostMs: number;
}

/** What the store said, and whether this node has declared that it went back. */
interface Found {
  readonly view: ClusterView;
  readonly isDeclared: boolean;
}

const YES: May = { may: 'yes' };
/** A node that has lost its place in the store looks again this soon. */
const APART: May = { may: 'wait', because: 'apart', atMostMs: 1_000 };

export class Cluster {
  readonly #parts: KeeperParts;
  readonly #clock: StoreClock;
  readonly #hooks: ClusterHooks;
  readonly #beating = new AbortController();
  #leaseUntilMs = Number.NEGATIVE_INFINITY;
  #here: readonly NodeId[] = [];
  #isMerged = false;
  #isRestoring = false;
  /** Of the journal, what waits for a node that is not here yet. */
  #waiting = 0;
  /** At the last look: time ends it too. */
  #wasRestoring = false;
  #isSuspected = false;
  #isToRelease = false;
  #merging: Promise<void> | null = null;
  #following: Promise<void> | null = null;
  /** Counts what was heard of the store: of two views that were asked for at once, nobody knows which is the older one. */
  #heard = 0;
  /** How far the journals of all nodes were merged, and the restore, as the store said last. */
  #merged: ReadonlyMap<NodeId, number> = new Map();
  #restore: string | null = null;
  /** Until then a request may be on its way that a restored store knows nothing of. */
  #settledAtMs = Number.NEGATIVE_INFINITY;
  /** Until then a node that is not here yet may know of a restore. */
  #awakeAtMs = Number.NEGATIVE_INFINITY;
  /** By node and run. */
  readonly #looks = new Map<string, { readonly count: number; readonly againAtMs: number }>();
  #rejoining: Promise<void> | null = null;

  constructor(parts: KeeperParts, clock: StoreClock, hooks: ClusterHooks) {
    this.#parts = parts;
    this.#clock = clock;
    this.#hooks = hooks;
  }

  /** Joins, merges the journal, and goes on beating. Nothing was presented before it resolves. */
  async start(): Promise<void> {
    const found = await this.#join();
    const { now, wokenAt } = found.view;
    if (wokenAt !== null) this.#awakeAtMs = this.#nowMs() + wokenAt + HORIZON_MS - now;
    if (this.#parts.store.isShared) this.#inBackground(this.#beat());
    await this.#merge(found);
  }

  /**
   * Whether an exchange under this policy may be started now. During a restore not before the other nodes have merged
   * their journals too, for one of them may hold a newer token, and an older one would revoke it. Where a second
   * presentation always revokes, those of before a restore are waited for, as far as they may still be on their way; and
   * so is a node that may know of a restore.
   */
  mayStart(policy: RotationPolicy): May {
    if (!this.#isMerged || this.#nowMs() >= this.#leaseUntilMs) return APART;
    if (rejectsReuse(policy) || classOf(policy).class === 'durable') return YES;
    if (this.#isRestoring) return { may: 'hold' };
    if (classOf(policy).class !== 'one-time-revoking') return YES;
    const settlesInMs = this.#settledAtMs - this.#nowMs();
    const wakesInMs = this.#awakeAtMs - this.#nowMs();
    if (settlesInMs > 0 && settlesInMs >= wakesInMs) return { may: 'wait', because: 'restored', atMostMs: settlesInMs };
    return wakesInMs > 0 ? { may: 'wait', because: 'woken', atMostMs: wakesInMs } : YES;
  }

  /**
   * While it lasts, no chain is given up: another node's journal may hold what is missing, also that of one that is not
   * here yet and may be the only one to know of a restore.
   */
  get isRestoring(): boolean {
    return this.#isRestoring || this.#nowMs() < this.#awakeAtMs;
  }

  /** The store says that the lease is over: join again now rather than with the next beat. */
  lost(): void {
    this.#leaseUntilMs = Number.NEGATIVE_INFINITY;
    this.#rejoining ??= this.#rejoin().finally(() => {
      this.#rejoining = null;
    });
    this.#inBackground(this.#rejoining);
  }

  /** The store has forgotten something that it had stored. */
  forgotten(): void {
    if (!this.#parts.store.isShared || this.#isSuspected) return;
    this.#isSuspected = true;
    this.#isMerged = false;
    const look = this.#parts.store.nodes.view().then((view) => this.#merge({ view, isDeclared: false }));
    this.#inBackground(look);
  }

  /** No more signs of life: whatever this node still has under way is taken over by the others. */
  stop(): void {
    this.#beating.abort();
  }

  /**
   * Which nodes go first for a grant when it is due: 0 for this one, or how many are before it. Any may; it only keeps
   * all of them from doing the same at once.
   */
  turnOf(grant: GrantId): number {
    const own = weightOf(this.#parts.node, grant);
    return this.#here.filter((node) => weightOf(node, grant) > own).length;
  }

  /** Nothing of this node is under way any more. */
  async leave(): Promise<void> {
    this.stop();
    this.#leaseUntilMs = Number.NEGATIVE_INFINITY;
    await this.#rejoining;
    // A store that is older than its journal tells the next run of the restore too.
    if (this.#nowMs() >= this.#settledAtMs) await this.#hooks.noteMerged();
    await this.#parts.store.nodes.leave(this.#me());
  }

  async #beat(): Promise<void> {
    const { signal } = this.#beating;
    for (;;) {
      await this.#clock.sleep(BEAT_MS, signal);
      if (signal.aborted) return;
      try {
        await this.#beatOnce();
      } catch (cause) {
        this.#parts.log.warn('The store did not take a sign of life of this node.', {
          node: this.#parts.node,
          why: String(cause),
        });
      }
    }
  }

  async #beatOnce(): Promise<void> {
    const [asked, heard] = [this.#clock.moment(), this.#heard];
    const { outcome, view } = await this.#parts.store.nodes.beat(this.#me(), LEASE_MS);
    if (this.#beating.signal.aborted || this.#isRejoining()) return;
    this.#clock.learn(view.now, asked);
    const own = this.#ownOf(view);
    if (outcome === 'lost' || !own) {
      this.lost();
      await this.#rejoining;
      return;
    }
    this.#leaseUntilMs = asked.uptimeMs + LEASE_MS;
    if (heard === this.#heard) await this.#look(view, own);
  }

  #isRejoining(): boolean {
    return this.#rejoining !== null;
  }

  async #rejoin(): Promise<void> {
    this.#parts.log.warn('This node lost its place in the store and takes it again.', { node: this.#parts.node });
    this.#isMerged = false;
    this.#hooks.forget();
    await this.#merge(await this.#join());
  }

  /**
   * Takes the place first, and is here only once it has said what it knows of a restore: who sees that all nodes are
   * here, and that none was declared, knows that there was none.
   */
  async #join(): Promise<Found> {
    const { nodes, isShared } = this.#parts.store;
    const joined = await nodes.join(this.#me(), this.#parts.folder, isShared ? 0 : LEASE_MS);
    if (joined.outcome === 'in_use') throw inUse(this.#parts.node);
    const isDeclared = isShared && this.#isOlder(joined.view);
    if (isDeclared) await this.#declare();
    const asked = this.#clock.moment();
    const { view } = isShared ? await nodes.beat(this.#me(), LEASE_MS) : joined;
    this.#clock.learn(view.now, asked);
    this.#leaseUntilMs = isShared ? asked.uptimeMs + LEASE_MS : Number.POSITIVE_INFINITY;
    return { view, isDeclared };
  }

  /** Each node that notices says so, once: what the store says of an earlier restore tells nothing of this one. */
  async #declare(): Promise<void> {
    const { store, log, node } = this.#parts;
    this.#isRestoring = true;
    log.warn('The store is older than what is remembered of it: it was restored from a backup.', { node });
    await store.nodes.declareRestore();
  }

  async #look(view: ClusterView, own: NodeRecord): Promise<void> {
    // The merge under way looks by itself at its end.
    if (this.#merging) return;
    // Until all is there: some of it may wait for what another node still has to bring.
    const isAllBrought = view.restore === null ? this.#waiting === 0 : own.mergedFor === view.restore;
    if (view.restore !== this.#restore || this.#isOlder(view)) {
      this.#isMerged = false;
      this.#hooks.forget();
    }
    if (this.#isMerged && isAllBrought) {
      this.#see(view);
      // Signs of life go on meanwhile: there may be many chains to look at.
      this.#inBackground(this.#follow(view));
      await this.#hooks.noteMerged();
    } else {
      // Here too.
      this.#inBackground(this.#merge({ view, isDeclared: false }));
    }
  }

  #merge(found: Found): Promise<void> {
    this.#merging ??= this.#mergeOnce(found).finally(() => {
      this.#merging = null;
      this.#heard++;
    });
    return this.#merging;
  }

  /** Brings the journal into the store; where the store forgot something, the others are asked to do so too. */
  async #mergeOnce({ view: found, isDeclared }: Found): Promise<void> {
    const { store, node } = this.#parts;
    const isOlder = store.isShared && (isDeclared || this.#isOlder(found));
    if (!store.isShared && this.#isOlder(found)) this.#settleAlone();
    if (isOlder && !isDeclared) await this.#declare();
    // What is under way here is not known to a restored store: its answers go into the journal first.
    if (isOlder || found.restore !== this.#restore) await this.#hooks.quiet();
    this.#merged = new Map();
    this.#isSuspected = false;
    this.#waiting = await this.#hooks.merge(this.#ownOf(found)?.merged ?? 0, this.#nowMs() < this.#awakeAtMs);
    await this.#hooks.consulted(node);
    this.#isMerged = true;
    const view = await store.nodes.view();
    this.#see(view);
    await this.#follow(view);
  }

  /** A node alone has its journal to tell it of a restore: the store hears of the merge only once all has settled. */
  #settleAlone(): void {
    const { log, node } = this.#parts;
    log.warn('The store is older than what is remembered of it: it was restored from a backup.', { node });
    this.#settledAtMs = this.#nowMs() + HORIZON_MS;
    const { signal } = this.#beating;
    const settled = this.#clock.sleep(HORIZON_MS, signal).then(async () => {
      if (!signal.aborted) await this.#hooks.noteMerged('again');
    });
    this.#inBackground(settled);
  }

  /** Whether the store remembers less of any node's journal than it once did. */
  #isOlder(view: ClusterView): boolean {
    const now = new Map(view.nodes.map(({ id, merged }) => [id, merged]));
    const isForgotten = [...this.#merged].some(([id, merged]) => merged > (now.get(id) ?? -1));
    return this.#isSuspected || isForgotten || this.#hooks.isStoreOlder(this.#ownOf(view)?.merged ?? 0);
  }

  #see({ now, nodes, restore, restoredAt }: ClusterView): void {
    const { isShared } = this.#parts.store;
    this.#heard++;
    if (restoredAt !== null) {
      this.#settledAtMs = Math.max(this.#settledAtMs, this.#nowMs() + restoredAt + HORIZON_MS - now);
    }
    const here = nodes.filter(({ leaseLeftMs }) => leaseLeftMs > 0);
    this.#here = here.map(({ id }) => id);
    if (nodes.every((one) => one.isGivenUp || one.leaseLeftMs > 0)) this.#awakeAtMs = Number.NEGATIVE_INFINITY;
    for (const { id, run } of here) if (id !== this.#parts.node) this.#looks.delete(`${id} ${run}`);
    this.#merged = new Map(nodes.map(({ id, merged }) => [id, merged]));
    this.#restore = restore;
    const wasRestoring = this.#wasRestoring || this.#isRestoring;
    const isMissing = nodes.some((one) => !one.isGivenUp && one.mergedFor !== restore);
    this.#isRestoring = isShared && restore !== null && isMissing;
    this.#wasRestoring = this.isRestoring;
    if (wasRestoring && !this.#wasRestoring) this.#isToRelease = true;
  }

  /** Does what follows from a view: once at a time, and again with the next one where it could not be done. */
  #follow(view: ClusterView): Promise<void> {
    this.#following ??= this.#followOnce(view).finally(() => {
      this.#following = null;
    });
    return this.#following;
  }

  async #followOnce(view: ClusterView): Promise<void> {
    if (this.#isToRelease) await this.#hooks.whole();
    this.#isToRelease = false;
    await this.#takeOver(view);
  }

  async #takeOver({ nodes }: ClusterView): Promise<void> {
    const left = nodes.filter((one) => this.#mayHaveLeft(one) && this.#isToLookAt(one));
    if (left.length === 0) return;
    const gone = left.filter(({ id }) => id !== this.#parts.node);
    await this.#hooks.takeOver(new Map(gone.map((one) => [one.id, one])));
    for (const { id, run } of left) {
      const count = (this.#looks.get(`${id} ${run}`)?.count ?? 0) + 1;
      const pauseMs = count === 1 ? LOOK_AGAIN_MS : LOOK_SELDOM_MS;
      this.#looks.set(`${id} ${run}`, { count, againAtMs: this.#nowMs() + pauseMs });
    }
  }

  /** This node too: by an earlier run. */
  #mayHaveLeft({ id, leaseLeftMs }: NodeRecord): boolean {
    return id === this.#parts.node || leaseLeftMs === 0;
  }

  #isToLookAt({ id, run }: NodeRecord): boolean {
    const looks = this.#looks.get(`${id} ${run}`);
    return !looks || this.#nowMs() >= looks.againAtMs;
  }

  #ownOf({ nodes }: ClusterView): NodeRecord | null {
    return nodes.find((one) => one.id === this.#parts.node) ?? null;
  }

  #me(): { readonly id: NodeId; readonly run: string } {
    return { id: this.#parts.node, run: this.#parts.run };
  }

  #nowMs(): number {
    return this.#clock.moment().uptimeMs;
  }

  #inBackground(work: Promise<unknown>): void {
    work.catch((cause: unknown) => {
      this.#parts.log.error('This node could not take its place in the store.', { node: this.#parts.node }, cause);
    });
  }
}

function weightOf(node: NodeId, grant: GrantId): string {
  return createHash('sha256').update(`${node} ${grant}`).digest('base64url');
}

function inUse(node: NodeId): EvergrantError {
  return new EvergrantError('setting', `Another server is running with the node id "${node}".`, {
    remedy: 'Give every node an id and a data folder of its own: --node-id, or leave it out, then one is made.',
  });
}
