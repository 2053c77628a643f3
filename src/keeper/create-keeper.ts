/** Puts the keeper together, and takes up what the last run left before anyone is served. */
import type { Link } from '../core/chain.ts';
import type { AppId, GrantId } from '../core/id.ts';
import type { Instant } from '../core/instant.ts';
import type { AccessToken } from '../core/secret.ts';
import type { Change } from '../ports/store.ts';
import { tokens } from './access-token.ts';
import { apis } from './apis.ts';
import { appRegistry } from './apps.ts';
import { authorizationFlow } from './authorization.ts';
import { type Exports, grantExports } from './export.ts';
import { grantRegistry } from './grants.ts';
import { journals } from './journals.ts';
import { probeAccount } from './identity.ts';
import { Cluster } from './cluster.ts';
import { consult } from './consult.ts';
import type { Work } from './exchange.ts';
import { counted } from './figures.ts';
import { dueOf, type Freshness, ON_DEMAND } from './freshness.ts';
import type { Keeper } from './keeper.ts';
import { isStoreOlder, mergeJournal, noteMerged } from './merge-journal.ts';
import { ChainMinder } from './minder.ts';
import { Minders } from './minders.ts';
import { type KeeperParts, reach } from './parts.ts';
import { grantsWith, namesOf } from './records.ts';
import type { WorkOf } from './restore.ts';
import { HeaderCredentials } from './schemes/header.ts';
import { inScheme } from './schemes/scheme.ts';
import { seldom } from './seldom.ts';
import { storeClock } from './store-clock.ts';
import { takeOver } from './take-over.ts';
import type { Upstream } from './upstream.ts';
import { Watch } from './watch.ts';

/** Those who watch over many servers ask each of them often, and every check is a write. */
const CHECK_EVERY_MS = 1_000;

/** `exports` stands beside the keeper: whoever is given the keeper alone cannot take a refresh token out of it. */
export async function createKeeper(given: KeeperParts): Promise<Keeper & { readonly exports: Exports }> {
  const clock = storeClock(given.clock, given.store.isShared);
  const stop = new AbortController();
  const ended = new AbortController();
  const counts = counted(given.store);
  const { store } = counts;
  const parts: KeeperParts = { ...given, clock, store, ended: ended.signal };
  const checkStore = seldom(parts.clock, CHECK_EVERY_MS, () => parts.store.check());
  const apps = appRegistry(parts, (app) => resumeApp(app));
  const { upstreams } = apps;
  const minders: Minders = new Minders(async (idOrAlias) => {
    const { value } = await grants.record(idOrAlias);
    const { scheme } = value;
    const upstream = () => {
      const known = upstreams.of(value.app);
      return scheme === undefined ? known : known.then((one) => inScheme(one, scheme));
    };
    const due = ({ provider }: Upstream, freshness: Freshness) => dueOf(clock, value.id, provider.policy, freshness);
    const minder = new ChainMinder(parts, value, upstream, { onPublished, onDue }, cluster, due, stop.signal);
    return { minder, names: namesOf(value) };
  });
  const grants = grantRegistry(parts, minders, upstreams);
  const authorizations = authorizationFlow(parts, grants, minders, upstreams);

  /**
   * Asks the provider for the account, where that proves the new link (its access token counts as its use), or where
   * the account is not known yet. A token is never held back for it.
   */
  async function onPublished(grant: GrantId, upstream: Upstream, link: Link, accessToken: AccessToken): Promise<void> {
    if (!upstream.provider.identity) return;
    const { value } = await grants.record(grant);
    const activates = upstream.provider.policy.overlap.successorUse === 'refresh-or-access';
    if (!activates && value.account) return;
    const probe = await probeAccount(parts, upstream, accessToken);
    if (probe.kind !== 'accepted') return;
    await parts.store.chains.append(grant, 'any', { type: 'proven', at: parts.clock.moment(), link: link.id });
    minders.known(grant)?.forget();
    await reach(parts, 'proven', grant);
    if (!value.account && probe.account) await noteAccount(grant, upstream, probe.account);
  }

  async function noteAccount(grant: GrantId, upstream: Upstream, account: { subject: string; label: string | null }) {
    const accountKey = `${upstream.registration}|${account.subject}`;
    const holder = await grants.byAccount(accountKey);
    if (holder && holder.id !== grant) {
      parts.log.warn('Two grants hold the same account of the same app; one may end the chain of the other.', {
        grant,
        other: holder.id,
      });
    }
    await grants.change(grant, (value) => ({ ...value, account, accountKey: holder ? value.accountKey : accountKey }));
  }

  /** What was held back by a wrong secret goes on with the new one. */
  async function resumeApp(app: AppId): Promise<void> {
    for await (const grant of grantsWith(parts.store, [{ name: 'app', value: app }])) await resumeGrant(grant);
  }

  /** What is on the wire went with the old secret; how it is answered is waited for, but not by who gave the new one. */
  async function resumeGrant(grant: GrantId): Promise<void> {
    const minder = minders.known(grant);
    if (!minder?.isWorking) return resumeIdleGrant(grant);
    const resumed = minder.idle().then(() => resumeIdleGrant(grant));
    resumed.catch((cause: unknown) => parts.log.error('A grant did not go on with the new secret.', { grant }, cause));
  }

  async function resumeIdleGrant(grant: GrantId): Promise<void> {
    const { chain } = await parts.store.chains.read(grant);
    if (chain.deferral?.why !== 'client_rejected') return;
    const minder = await minders.of(grant);
    await minder.change(() => parts.store.chains.append(grant, 'any', { type: 'resumed', at: parts.clock.moment() }));
  }

  /** Takes a chain up that another run or node left; not waited for, and one that cannot be is no reason to stop. */
  function wake(grant: GrantId): void {
    const taken = minders.of(grant).then((minder) => {
      minder.changed();
      // Whatever it serves will do: nobody has asked for a newer one.
      return minder.advance(0);
    });
    taken.catch((cause: unknown) => parts.log.error('A chain could not be taken up.', { grant }, cause));
  }

  /** Whatever the last run left undecided goes on at once, for windows may be closing. */
  async function resume(): Promise<void> {
    const left = await parts.store.chains.unsettled();
    if (left.length > 0) parts.log.info('Chains are taken up where the last run left them.', { chains: left.length });
    for (const grant of left) wake(grant);
  }

  /** Chains that waited for the journals of all nodes go on. */
  async function release(): Promise<void> {
    for await (const grant of grantsWith(parts.store, [{ name: 'state', value: 'held' }])) wake(grant);
  }

  function forgetAll(): void {
    for (const minder of minders.all()) minder.changed();
  }

  async function readWishAgain(grant: GrantId): Promise<void> {
    const minder = minders.known(grant);
    if (!minder) return;
    minder.changed();
    const record = await grants.record(grant).catch(() => null);
    minder.freshness = record?.value.freshness ?? ON_DEMAND;
  }

  /** What another node changed is read again when it is next needed. */
  function onChange(change: Change): void {
    switch (change.kind) {
      case 'chain':
        minders.known(change.id)?.changed();
        break;
      case 'grant':
        minders.forgetNamesOf(change.id as GrantId);
        void readWishAgain(change.id as GrantId);
        break;
      case 'app':
        apps.forget(change.id as AppId);
        break;
      case 'unsure':
        for (const minder of minders.all()) minders.forgetNamesOf(minder.grant);
        apps.forget(null);
        forgetAll();
        for (const minder of minders.all()) minder.verify().catch(() => undefined);
        break;
      default:
      // Records of other rooms, which look after themselves.
    }
  }

  async function workOf(grant: GrantId): Promise<Work> {
    const { value } = await grants.record(grant);
    const upstream = inScheme(await upstreams.of(value.app), value.scheme);
    return {
      parts,
      grant,
      upstream,
      dueOf: dueOf(clock, grant, upstream.provider.policy, value.freshness ?? ON_DEMAND),
    };
  }

  const merge = async (since: number, mayWait: boolean): Promise<number> => {
    const { waiting } = await mergeJournal(parts, grants, onceFor(workOf), since, mayWait);
    return waiting;
  };
  const cluster = new Cluster(parts, clock, {
    merge,
    isStoreOlder: (merged) => isStoreOlder(parts.journal, merged),
    noteMerged: (again) => noteMerged(parts, again),
    takeOver: (gone) => takeOver(parts, workOf, gone, wake),
    consulted: async (node) => {
      // An exchange that goes on ends as an event of its chain, which settles its attempt by itself.
      await consult(parts, workOf, node, wake, (grant) => minders.known(grant)?.isWorking === true);
    },
    forget: forgetAll,
    quiet: async () => {
      await Promise.all([authorizations.idle(), ...[...minders.all()].map((minder) => minder.idle())]);
    },
    whole: release,
  });
  const headers = new HeaderCredentials(parts);
  const watch = new Watch({ parts, minders, turnOf: (grant) => cluster.turnOf(grant), stop: stop.signal });
  const onDue = (at: Instant) => watch.expect(at);
  const unwatch = parts.store.watch(onChange);
  await cluster.start();
  await resume();
  void watch.run();
  const resumed = authorizations.resume();
  resumed.catch((cause: unknown) => parts.log.error('Authorizations could not be taken up.', {}, cause));

  return {
    apps,
    grants,
    tokens: tokens(parts, minders, upstreams, headers, stop.signal),
    authorizations,
    apis: apis(minders, headers),
    exports: grantExports(parts, grants, apps, minders, upstreams),
    journals: journals(parts, grants, workOf, wake, (grant) => minders.known(grant)?.changed()),
    async isReady() {
      if (stop.signal.aborted) return false;
      await checkStore();
      return true;
    },
    countStates: () => parts.store.chains.count(),
    figures: () => counts.figures(),
    stop: () => stop.abort(),
    async drain(drainMs) {
      stop.abort();
      const over = new AbortController();
      const idle = authorizations.idle().then(() => Promise.all([...minders.all()].map((minder) => minder.idle())));
      const left = idle
        .then(() => cluster.leave())
        .catch((cause: unknown) => {
          // The others miss it when its lease ends.
          parts.log.warn('The store did not hear that this node leaves.', { why: String(cause) });
        });
      await Promise.race([left, parts.clock.sleep(drainMs, over.signal)]);
      cluster.stop();
      unwatch();
      over.abort();
      ended.abort();
    },
  };
}

/** The same while it goes on: a journal has many records of one grant, and its record is read for the first of them. */
function onceFor(workOf: WorkOf): WorkOf {
  const works = new Map<GrantId, Work>();
  return async (grant) => {
    const work = works.get(grant) ?? (await workOf(grant));
    works.set(grant, work);
    return work;
  };
}
