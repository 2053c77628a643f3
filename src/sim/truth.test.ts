import { expect, test } from 'vitest';
import { Life } from './life.ts';
import { ChainTruth } from './truth.ts';
import { VirtualTime } from './virtual-time.ts';

test('what only the journal of a node has that is gone, the other nodes cannot have heard, and the judge says so', () => {
  const life = new Life('run', new VirtualTime(0));
  const chain = new ChainTruth('a1', { refreshToken: 'rt-0' }, 0);
  chain.unansweredSince = 1_000;
  const token = Object.assign(chain.issued('rt-1', 'rt-0', 2_000, 2_000), { life, node: 'node-1', deliveredAt: 2_000 });
  chain.answeredWith(token, 2_000);
  const known = { unansweredSince: null, lastAnsweredAt: 2_000 };
  expect(chain.heardBy('node-2')).toMatchObject(known);
  life.end();
  expect(chain.heardBy('node-2')).toMatchObject({ unansweredSince: 1_000, lastAnsweredAt: 0 });
  expect(chain.heardBy('node-1')).toMatchObject(known);
  chain.stored(token);
  expect(chain.heardBy('node-2')).toMatchObject(known);
});
