import { expect, test } from 'vitest';
import { serve } from './fake-server.ts';

test("the server's own address says what it is and where to go on", async () => {
  const { server } = await serve();
  const answer = await server.inject({ url: '/' });
  expect([answer.statusCode, answer.headers['content-type']]).toEqual([200, 'text/html; charset=utf-8']);
  expect(answer.body).toContain('evergrant grants list');
});

test('the page that errors name for renewing says how, and not whether there is such a grant', async () => {
  const { server } = await serve();
  const known = await server.inject({ url: '/grants/grt_00000000000000000000000001' });
  expect(known.body).toContain('evergrant grants renew grt_00000000000000000000000001');
  const strange = await server.inject({ url: `/grants/${encodeURIComponent('<script>alert(1)</script>')}` });
  expect([strange.statusCode, strange.body.includes('<script>')]).toEqual([200, false]);
});

test('a browser that comes by another name of this machine is sent to the public one, where its cookie will be', async () => {
  const { server } = await serve();
  const answer = await server.inject({ url: '/authorize/some-ticket', headers: { host: 'localhost:8787' } });
  expect([answer.statusCode, answer.headers.location]).toEqual([302, 'http://127.0.0.1:8787/authorize/some-ticket']);
});
