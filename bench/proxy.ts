/** The proxy beside a bare reverse proxy in Node, both in front of the same bare server; and the SDK's cached call. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { evergrant as client } from '../src/client/evergrant.ts';
import { compare, type Speed } from './measure.ts';
import { type Baseline, end, startBytes, startEvergrant } from './servers.ts';

/** A small answer of an API. */
const BODY = JSON.stringify({ d: { results: 'x'.repeat(900) } });
const ANSWER = { headers: ['content-type', 'application/json', 'content-length', String(BODY.length)], body: BODY };

/** A small GET, through the proxy and through the bare one; rounds interleaved. */
export async function proxySpeed(): Promise<Speed> {
  await using upstream = await startBytes(ANSWER);
  await using evergrant = await startEvergrant({ api_base_urls: [`${upstream.origin}/api`] });
  await evergrant.addGrants(0, 1);
  await using bare = await startBareProxy(upstream.origin);
  const headers = { authorization: `Bearer ${evergrant.key}` };
  const ours = { url: `${evergrant.origin}/proxy/grant-0/v1/x`, pid: evergrant.pid, method: 'GET', headers } as const;
  return await compare(ours, { ...ours, url: `${bare.origin}/api/v1/x`, pid: bare.pid });
}

async function startBareProxy(origin: string): Promise<Baseline> {
  const child = fork(join(import.meta.dirname, 'bare-proxy.ts'));
  child.send({ origin });
  const [port] = (await once(child, 'message')) as [number];
  return { origin: `http://127.0.0.1:${port}`, pid: child.pid ?? 0, [Symbol.asyncDispose]: () => end(child) };
}

const CALLS = 1_000_000;
const SERIES = 5;

/** Nanoseconds that `await accessToken()` takes while a token is in memory; the best of several series. */
export async function sdkCall(): Promise<number> {
  const server = createServer((_, answer) => answer.end('{"access_token":"token","expires_in":3600}'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { accessToken } = client({ server: origin, grant: 'g', apiKey: 'k' });
  let best = Number.POSITIVE_INFINITY;
  for (let series = 0; series < SERIES; series++) {
    await accessToken();
    const startedAt = process.hrtime.bigint();
    for (let i = 0; i < CALLS; i++) await accessToken();
    best = Math.min(best, Number(process.hrtime.bigint() - startedAt) / CALLS);
  }
  server.closeAllConnections();
  server.close();
  return best;
}
