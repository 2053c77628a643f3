import { expect, test } from 'vitest';
import { ChainTruth } from './truth.ts';

test('what only the journal of a node has, the other nodes cannot have heard, and the judge says so', () => {
  const chain = new ChainTruth('a1', { refreshToken: 'rt-0' }, 0);
  chain.unansweredSince = 1_000;
  const token = Object.assign(chain.issued('rt-1', 'rt-0', 2_000, 2_000), { node: 'node-1', deliveredAt: 2_000 });
  chain.answeredWith(token, 2_000);
  const known = { unansweredSince: null, lastAnsweredAt: 2_000 };
  expect(chain.heardBy('node-2')).toMatchObject({ unansweredSince: 1_000, lastAnsweredAt: 0 });
  expect(chain.heardBy('node-1')).toMatchObject(known);
  chain.stored(token);
  expect(chain.heardBy('node-2')).toMatchObject(known);
});
