/** `/livez`, `/healthz`, `/readyz`: for those who start and stop servers. No key, no secrets, no details. */
import { z } from 'zod';
import type { HttpParts, Routes } from './parts.ts';

const Status = z.object({ status: z.string() });

export function healthRoutes(routes: Routes, { keeper, log }: HttpParts): void {
  for (const path of ['/livez', '/healthz']) {
    routes.get(path, { schema: { summary: 'Whether the process is alive', response: { 200: Status } } }, async () => ({
      status: 'alive',
    }));
  }

  const summary = 'Whether the store can be written to and chains in doubt were taken up';
  routes.get('/readyz', { schema: { summary, response: { 200: Status, 503: Status } } }, async (_, reply) => {
    const isReady = await keeper.isReady().catch((error: unknown) => {
      log.warn('not ready', { error: String(error) });
      return false;
    });
    reply.header('cache-control', 'no-store');
    return isReady ? reply.code(200).send({ status: 'ready' }) : reply.code(503).send({ status: 'not ready' });
  });
}
