/** For tests only: a server over a fake keeper, and a short way to ask it as the admin. */
import type { InjectOptions } from 'fastify';
import { ADMIN_KEY, type FakeParts, fakeParts } from './fake-keeper.ts';
import { buildServer } from './server.ts';

export const admin = { authorization: `Bearer ${ADMIN_KEY}` };

export async function serve(parts: FakeParts = fakeParts()) {
  const server = await buildServer(parts);
  const send = (method: InjectOptions['method'], url: string, payload?: unknown, headers: object = admin) =>
    server.inject({
      method: method ?? 'GET',
      url,
      headers: { ...headers },
      ...(payload === undefined ? {} : { payload: payload as object }),
    });
  return { parts, keeper: parts.keeper, server, send };
}
