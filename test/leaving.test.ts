/** A grant that is exported while other nodes serve it: it ends for all of them, or it stays with all of them. */
import { expect, test } from 'vitest';
import { type BenchNode, clusterBench } from './support/cluster-bench.ts';

const WISH = { minTtlMs: 5_000, waitMs: 1_000 };
const codeOf = (node: BenchNode) =>
  node.keeper.tokens.get('eol', WISH).then(
    () => 'served',
    (error: { readonly code: string }) => error.code,
  );

test('a grant that one node hands over is served by no other node from then on, and what was handed over is whole', async () => {
  const { clock, nodes, imported, upstream } = await clusterBench();
  await clock.until(imported());
  const [here, there] = nodes;
  expect(await clock.until(codeOf(there))).toBe('served');
  const exported = await clock.until(here.keeper.exports.read('eol'));
  expect([exported.refreshToken.reveal(), exported.accessToken?.reveal()]).toEqual(['rt-0-eol', 'at-0-eol']);
  expect(await clock.until(here.keeper.exports.end(exported))).toBe(true);
  await clock.advance(1_000);
  expect(await clock.until(codeOf(there))).toBe('grant_revoked');
  expect(upstream.presented).toEqual([]);
});

test('a grant that another node exchanged meanwhile, or has on the wire, stays: what was read is worth nothing', async () => {
  const { clock, nodes, imported, upstream } = await clusterBench();
  await clock.until(imported());
  const [here, there] = nodes;
  const exported = await clock.until(here.keeper.exports.read('eol'));
  await clock.advance(600_000);
  expect(await clock.until(codeOf(there))).toBe('served');
  expect(upstream.presented).toEqual(['rt-0-eol']);
  expect(await clock.until(here.keeper.exports.end(exported))).toBe(false);

  await clock.advance(600_000);
  const onTheWire = Promise.withResolvers<void>();
  upstream.gate = () => onTheWire.promise;
  const asked = codeOf(there);
  await clock.advance(100);
  await expect(clock.until(here.keeper.exports.read('eol'))).rejects.toMatchObject({ code: 'in_use' });
  onTheWire.resolve();
  expect(await clock.until(asked)).toBe('served');
  expect((await there.keeper.grants.get('eol')).state).toBe('active');
});
