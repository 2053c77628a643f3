/**
 * One side of `bench/exchanges.ts`, in a process of its own. `keeper`: the real keeper with the real store, journal,
 * sealer and network. `loop`: a POST on a fresh connection and a commit of the answer, one after the other. Started with
 * a message `Order`; says `ready`, and then answers every message with a `Lap`.
 */
import { request } from 'node:http';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { text } from 'node:stream/consumers';
import { loadProvider } from '../src/catalogue/dated.ts';
import { Secret } from '../src/core/secret.ts';
import { createKeeper } from '../src/keeper/create-keeper.ts';
import type { Log } from '../src/ports/log.ts';
import { openSqliteStore } from '../src/storage/sqlite/store.ts';
import { createAesSealer } from '../src/world/aes-sealer.ts';
import { endOfTurn } from '../src/world/event-loop.ts';
import { openFileJournal } from '../src/world/file-journal.ts';
import { network } from '../src/world/network.ts';
import { RootKey } from '../src/world/root-key.ts';
import { systemClock } from '../src/world/system-clock.ts';
import { systemRandom } from '../src/world/system-random.ts';
import type { Ready } from './emulator-servers.ts';

export interface Order {
  readonly side: 'keeper' | 'loop';
  readonly folder: string;
  readonly upstream: Ready;
  /** How many are under way together; the loop does one after the other. */
  readonly together: number;
}

export interface Lap {
  readonly exchanges: number;
  readonly ms: number;
  /** Processor time of this process, in milliseconds. */
  readonly cpuMs: number;
}

const silent: Log = { debug() {}, info() {}, warn() {}, error: console.error };

/** Exchanges every grant once. */
type Round = () => Promise<void>;

async function keeperSide({ folder, upstream, together }: Order): Promise<Round> {
  const { clientId, clientSecret, tokens } = upstream;
  const origin = `http://127.0.0.1:${upstream.port}`;
  const file = {
    id: 'bench',
    name: 'Bench',
    authorization_endpoint: `${origin}/authorize`,
    token_endpoint: origin + upstream.path,
    token_endpoint_auth_methods: ['client_secret_post'],
    policy: { rotate: { mode: 'always' }, overlap: { successor_unused: true, window: null }, life: { idle: null } },
  };
  const provider = loadProvider({ name: 'bench.json', text: JSON.stringify(file) }, 'local').at(systemClock.now());
  const keeper = await createKeeper({
    store: openSqliteStore(join(folder, 'keeper.db'), endOfTurn),
    journal: await openFileJournal({ dataFolder: folder, clock: systemClock, log: silent }),
    sealer: createAesSealer(new RootKey(systemRandom.bytes(32)), systemRandom),
    network: network(),
    clock: systemClock,
    random: systemRandom,
    log: silent,
    catalogue: { get: () => provider, ids: () => ['bench'], list: () => [provider] },
    node: 'bench',
    folder: 'bench',
    run: 'bench',
    publicUrl: 'http://127.0.0.1',
  });
  const app = await keeper.apps.create({
    provider: 'bench',
    clientId,
    clientSecret: new Secret('client secret', clientSecret),
  });
  const names = tokens.map((_, i) => `grant-${i}`);
  await inParallel(together, names, async (alias, i) => {
    const refreshToken = new Secret('refresh token', tokens[i] ?? '');
    await keeper.grants.import({
      app: app.id,
      alias,
      refreshToken,
      obtainedAt: systemClock.now(),
      takeover: false,
    });
  });
  return () => inParallel(together, names, async (name) => void (await keeper.tokens.refresh(name)));
}

/** So many at once, each of them the next as soon as it is free. */
async function inParallel<T>(together: number, items: readonly T[], work: (item: T, i: number) => Promise<void>) {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let i = next++; i < items.length; i = next++) await work(items[i] as T, i);
  };
  await Promise.all(Array.from({ length: together }, worker));
}

async function loopSide({ folder, upstream }: Order): Promise<Round> {
  const db = new DatabaseSync(join(folder, 'loop.db'));
  db.exec(
    'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE answers (id INTEGER PRIMARY KEY, answer)',
  );
  const keep = db.prepare(
    'INSERT INTO answers (id, answer) VALUES (?, ?) ON CONFLICT DO UPDATE SET answer = excluded.answer',
  );
  const tokens = [...upstream.tokens];
  return async () => {
    for (const [i, token] of tokens.entries()) {
      const answer = await post(upstream, token);
      keep.run(i, answer);
      tokens[i] = (JSON.parse(answer) as { refresh_token: string }).refresh_token;
    }
  };
}

/** On a connection of its own. */
function post(upstream: Ready, token: string): Promise<string> {
  const { port, path, clientId, clientSecret } = upstream;
  const fields = {
    grant_type: 'refresh_token',
    refresh_token: token,
    client_id: clientId,
    client_secret: clientSecret,
  };
  return new Promise((resolve, reject) => {
    const sent = request({
      host: '127.0.0.1',
      port,
      path,
      method: 'POST',
      agent: false,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
    sent.on('error', reject);
    sent.on('response', (response) => void text(response).then(resolve, reject));
    sent.end(String(new URLSearchParams(fields)));
  });
}

process.once('message', (message) => {
  const order = message as Order;
  const side = order.side === 'keeper' ? keeperSide(order) : loopSide(order);
  side.then(
    (round) => {
      process.on('message', () => void lap(order, round));
      process.send?.('ready');
    },
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});

async function lap(order: Order, round: Round): Promise<void> {
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  await round();
  const ms = performance.now() - startedAt;
  const { user, system } = process.cpuUsage(cpu);
  process.send?.({ exchanges: order.upstream.tokens.length, ms, cpuMs: (user + system) / 1000 } satisfies Lap);
}

process.once('disconnect', () => process.exit());
