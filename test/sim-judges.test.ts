/** The judges of the simulation can fail: each is shown a node or a world that does what it must never do. */
import { expect, test } from 'vitest';
import type { KeeperParts } from '../src/keeper/parts.ts';
import type { HttpAnswer, HttpRequest, Network } from '../src/ports/network.ts';
import type { WorldOptions } from '../src/sim/world.ts';
import { SIMULATED_POLICIES, World, worldOptions } from '../src/simulate.ts';
import { createMemoryStore } from '../src/storage/memory/store.ts';
import { MemoryJournal } from './support/memory-journal.ts';

/** The invariants that a world complains of whose nodes work with parts put wrong. */
async function complaints(
  policy: string,
  alter: (parts: KeeperParts) => KeeperParts,
  faults: Partial<WorldOptions> = {},
): Promise<readonly string[]> {
  const found = SIMULATED_POLICIES.find((one) => one.name === policy);
  if (!found) throw new Error(policy);
  const world = new World(worldOptions(found, { exchanges: 40, grants: 2, mostMs: 2 * 3_600_000, alter, ...faults }));
  const judges = await world.run();
  return [...new Set(judges.violations.map((one) => one.invariant))];
}

type Send = (request: HttpRequest, timeoutMs: number) => Promise<unknown>;

/** A network whose sends go through this. */
function sending(parts: KeeperParts, through: (send: Send) => Send): KeeperParts {
  const network: Network = {
    async open(...words) {
      const connection = await parts.network.open(...words);
      if (connection.kind === 'not_sent') return connection;
      return { ...connection, send: through(connection.send) as typeof connection.send };
    },
  };
  return { ...parts, network };
}

const never = new Promise<void>(() => undefined);

const json = (status: number, body: string): HttpAnswer => {
  const headers = { 'content-type': 'application/json' };
  return { kind: 'answer', status, headers, body: new TextEncoder().encode(body), complete: true };
};

test('nodes with nothing wrong give no complaint', async () => {
  expect(await complaints('one-time-revoking', (parts) => parts)).toEqual([]);
});

test('a node that sends twice is seen to present too soon, without a record, and to be behind the loss (I3, I13)', async () => {
  const twice = await complaints('one-time-revoking', (parts) =>
    sending(parts, (send) => async (request, timeoutMs) => {
      await send(request, timeoutMs);
      return send(request, timeoutMs);
    }),
  );
  expect(twice).toEqual(expect.arrayContaining(['I3', 'I13']));
});

test('a node with two exchanges of one grant on the wire is seen (I4)', async () => {
  const both = await complaints('durable', (parts) =>
    sending(parts, (send) => async (request, timeoutMs) => {
      const [answer] = await Promise.all([send(request, timeoutMs), send(request, timeoutMs)]);
      return answer;
    }),
  );
  expect(both).toContain('I4');
});

test('a node that comes before the spacing of the provider is over is seen (I8)', async () => {
  const hasty = await complaints('exact-online', (parts) =>
    sending(parts, (send) => async (request, timeoutMs) => {
      const answer = await send(request, timeoutMs);
      await send(request, timeoutMs);
      return answer;
    }),
  );
  expect(hasty).toContain('I8');
});

test('a grant that gives no token although its chain lives is seen (I5)', async () => {
  let sent = 0;
  const dumb = await complaints('durable', (parts) =>
    sending(parts, (send) => async (request, timeoutMs) => (++sent > 5 ? json(503, '{}') : send(request, timeoutMs))),
  );
  expect(dumb).toContain('I5');
});

test('a lost answer that is called something else is seen (I6)', async () => {
  const refusal = json(400, '{"error":"invalid_grant"}');
  const turning = (parts: KeeperParts) =>
    sending(parts, (send) => async (request, timeoutMs) => {
      const answer = (await send(request, timeoutMs)) as HttpAnswer;
      return answer.kind === 'answer' ? answer : refusal;
    });
  const faults = { faults: ['answer_lost'], rate: 0.2 } as const;
  expect(await complaints('one-time', turning, faults)).toContain('I6');
  expect(await complaints('one-time', (parts) => parts, faults)).toEqual([]);
});

test('a node that publishes an older token is seen (I9)', async () => {
  const backward = await complaints('one-time', (parts) => {
    const { chains } = parts.store;
    const append: typeof chains.append = async (grant, expected, event, ...more) => {
      const done = await chains.append(grant, expected, event, ...more);
      const older = event.type === 'published' && done.outcome === 'appended' ? done.chain.links.at(-2) : undefined;
      return older ? chains.append(grant, 'any', { type: 'published', at: event.at, link: older.id }) : done;
    };
    return { ...parts, store: { ...parts.store, chains: { ...chains, append } } };
  });
  expect(backward).toContain('I9');
});

test('a record that nobody settles is seen (I14)', async () => {
  const untidy = await complaints('durable', (parts) => ({
    ...parts,
    journal: new Proxy(parts.journal, {
      get: (journal, name) => (name === 'settled' ? () => undefined : Reflect.get(journal, name, journal)),
    }),
  }));
  expect(untidy).toContain('I14');
});

test('a chain that is called broken while it lives is seen (I7, I12)', async () => {
  const denied = json(400, '{"error":"invalid_grant"}');
  let sent = 0;
  const lying = await complaints('one-time', (parts) =>
    sending(parts, (send) => async (request, timeoutMs) => (++sent % 10 === 0 ? denied : send(request, timeoutMs))),
  );
  expect(lying).toEqual(expect.arrayContaining(['I7', 'I12']));
});

test('a token that is served after its end is seen (I11)', async () => {
  const longer = await complaints('durable', (parts) =>
    sending(parts, (send) => async (request, timeoutMs) => {
      const answer = (await send(request, timeoutMs)) as HttpAnswer;
      if (answer.kind !== 'answer') return answer;
      const text = new TextDecoder().decode(answer.body).replace(/"expires_in":\d+/, '"expires_in":3600');
      return { ...answer, body: new TextEncoder().encode(text) };
    }),
  );
  expect(longer).toContain('I11');
});

test('a token in the log is seen (I10)', async () => {
  const telling = await complaints('durable', (parts) =>
    sending(parts, (send) => async (request, timeoutMs) => {
      parts.log.info(`sends ${request.body}`);
      return send(request, timeoutMs);
    }),
  );
  expect(telling).toContain('I10');
});

test('a token that is served out of a memory that dies with the process is seen (I1)', async () => {
  const forgetful = await complaints('one-time', (parts) => ({
    ...parts,
    store: createMemoryStore(),
    journal: new MemoryJournal(),
  }));
  expect(forgetful).toContain('I1');
});

test('a caller who is left without an answer is seen (I16)', async () => {
  let sent = 0;
  const silent = await complaints('durable', (parts) =>
    sending({ ...parts, clock: { ...parts.clock, sleep: () => never } }, (send) => async (request, timeoutMs) => {
      return ++sent > 5 ? never : send(request, timeoutMs);
    }),
  );
  expect(silent).toContain('I16');
});

/** What is found where judges are shown these copies alone, whatever was written; a world without faults. */
async function foundWithCopies(policy: string, isShown: (newest: string | undefined, link: string) => boolean) {
  const found = SIMULATED_POLICIES.find((one) => one.name === policy);
  if (!found) throw new Error(policy);
  const world = new World(worldOptions(found, { exchanges: 40, grants: 2, mostMs: 2 * 3_600_000 }));
  const { store, nodes } = world;
  const { inner } = store;
  const look: typeof inner.look = (grant) => {
    const all = inner.look(grant);
    const newest = all.chain.links.at(-1)?.id;
    return { ...all, answers: new Map([...all.answers].filter(([link]) => isShown(newest, link))) };
  };
  Object.defineProperty(store, 'inner', { value: { ...inner, look } });
  for (const { disk } of nodes) disk.holds = () => false;
  const judges = await world.run();
  return judges.violations.map((one) => one.invariant);
}

test('a token that lives and of which no copy is left is seen, be it the newest or an older one (I2)', async () => {
  expect(await foundWithCopies('one-time', () => false)).toContain('I2');
  expect(await foundWithCopies('one-time', (newest, link) => link === newest)).toEqual([]);
  // The last three live: a keeper that keeps the newest alone has dropped two.
  expect(await foundWithCopies('last-n', (newest, link) => link === newest)).toContain('I2');
  expect(await foundWithCopies('last-n', () => true)).toEqual([]);
});
