/**
 * A keeper on a bench: real keeper and real sealer, memory store, a journal in memory, a clock that stands still.
 * `restart` throws the process away and starts another one on what it left.
 */
import type { Provider } from '../../src/catalogue/provider.ts';
import { standardProvider } from '../../src/catalogue/standard.ts';
import { Secret } from '../../src/core/secret.ts';
import { POLICIES } from '../../src/core/policies.fixture.ts';
import type { RotationPolicy } from '../../src/core/rotation-policy.ts';
import { createKeeper } from '../../src/keeper/create-keeper.ts';
import type { Keeper } from '../../src/keeper/keeper.ts';
import type { ExchangeStep, KeeperParts } from '../../src/keeper/parts.ts';
import type { Log } from '../../src/ports/log.ts';
import type { Network } from '../../src/ports/network.ts';
import type { Store } from '../../src/ports/store.ts';
import { createMemoryStore } from '../../src/storage/memory/store.ts';
import { createAesSealer } from '../../src/world/aes-sealer.ts';
import { RootKey } from '../../src/world/root-key.ts';
import { systemRandom } from '../../src/world/system-random.ts';
import { MemoryJournal } from './memory-journal.ts';
import { ScriptedUpstream } from './scripted-upstream.ts';
import { VirtualClock } from './virtual-clock.ts';

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

export function testProvider(policy: RotationPolicy): Provider {
  return standardProvider({
    id: 'test',
    name: 'Test Provider',
    reach: 'local',
    authorizationEndpoint: 'http://127.0.0.1/authorize',
    tokenEndpoint: 'http://127.0.0.1/token',
    scope: { default: ['read'], forRefreshToken: null, separator: ' ' },
    identity: { endpoint: 'http://127.0.0.1/me', subject: '/sub', label: '/name' },
    policy,
  });
}

export interface BenchOptions {
  readonly policy?: RotationPolicy;
  readonly provider?: Partial<Provider>;
  readonly store?: Store;
  readonly network?: Network;
  readonly clock?: VirtualClock;
  readonly onStep?: (step: ExchangeStep) => void | Promise<void>;
}

export async function bench(options: BenchOptions = {}) {
  const clock = options.clock ?? new VirtualClock();
  const upstream = new ScriptedUpstream();
  const journal = new MemoryJournal();
  const store = options.store ?? createMemoryStore();
  const sealer = createAesSealer(new RootKey(new Uint8Array(32).fill(7)), systemRandom);
  const provider = { ...testProvider(options.policy ?? POLICIES.exact), ...options.provider };
  let run = 0;
  let onStep = options.onStep;
  let isProviderThere = true;

  const parts = (): KeeperParts => ({
    store,
    journal,
    sealer,
    clock,
    random: systemRandom,
    log: silent,
    network: options.network ?? upstream,
    catalogue: {
      get: (id) => (id === provider.id && isProviderThere ? provider : null),
      ids: () => [provider.id],
      list: () => [provider],
    },
    node: 'node-1',
    folder: 'node-1',
    run: `run-${++run}`,
    publicUrl: 'http://127.0.0.1:8787',
    onStep: (step) => onStep?.(step),
  });

  let keeper: Keeper = await createKeeper(parts());
  const app = await keeper.apps.create({
    provider: provider.id,
    clientId: 'client',
    clientSecret: new Secret('client secret', 'client-secret'),
  });

  return {
    clock,
    upstream,
    journal,
    store,
    sealer,
    app,
    get keeper() {
      return keeper;
    },
    /** What the rest of the exchange meets at each step from now on. */
    atStep(hook: ((step: ExchangeStep) => void | Promise<void>) | undefined) {
      onStep = hook;
    },
    /** The file of the provider is not there any more, from the next start on. */
    loseProvider(): void {
      isProviderThere = false;
    },
    async restart(): Promise<void> {
      onStep = undefined;
      keeper = await createKeeper(parts());
      await clock.advance(0);
    },
    /** A grant that holds `rt-0` and a live `at-0`, obtained just now. */
    async imported(alias = 'eol') {
      return keeper.grants.import({
        app: app.id,
        alias,
        refreshToken: new Secret('refresh token', `rt-0-${alias}`),
        accessToken: new Secret('access token', `at-0-${alias}`),
        expiresInMs: 600_000,
        obtainedAt: clock.now(),
        takeover: false,
      });
    },
  };
}

export type Bench = Awaited<ReturnType<typeof bench>>;
