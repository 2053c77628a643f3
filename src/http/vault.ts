/**
 * `GET /v1/vault/creds/{grant}`: a token in the shape in which Vault gives those of its oauthapp plugin, for tools that
 * can read nothing else. The key may come as `X-Vault-Token`, as those tools send it.
 */
import { z } from 'zod';
import { may } from '../access/api-keys.ts';
import { EvergrantError } from '../core/errors.ts';
import { toRfc3339 } from '../core/instant.ts';
import { bearerText } from './authentication.ts';
import type { HttpParts, Routes } from './parts.ts';
import { asEvergrantError, problemJson } from './problem.ts';
import { Name, problems } from './schemas.ts';

const WAIT_MS = 30_000;
const REFERENCE_BYTES = 16;
const MOST_SECONDS = 31_536_000;

const Answer = z.object({
  request_id: z.string(),
  lease_id: z.literal(''),
  renewable: z.literal(false),
  lease_duration: z.literal(0),
  data: z.object({ access_token: z.string(), type: z.literal('Bearer'), expire_time: z.string().nullable() }),
  wrap_info: z.null(),
  warnings: z.null(),
  auth: z.null(),
});

export function vaultRoutes(routes: Routes, parts: HttpParts): void {
  // Vault's clients show what stands in `errors`, and nothing else.
  routes.setErrorHandler((thrown, request, reply) => {
    const error = asEvergrantError(parts, request, thrown);
    const { message, details } = error;
    const said = { ...problemJson(error, parts.settings.publicUrl), errors: [message, details.remedy] };
    if (details.retryAfterMs !== undefined)
      reply.header('retry-after', Math.max(1, Math.ceil(details.retryAfterMs / 1000)));
    reply.code(error.status).header('cache-control', 'no-store').type('application/json').send(JSON.stringify(said));
  });
  routes.get(
    '/v1/vault/creds/:grant',
    {
      schema: {
        summary: "A fresh access token, in the shape of Vault's oauthapp plugin",
        params: z.object({ grant: Name }),
        querystring: z.strictObject({ minimum_seconds: z.coerce.number().min(0).max(MOST_SECONDS).optional() }),
        response: { 200: Answer, ...problems },
      },
    },
    async ({ headers, params, query }, reply) => {
      const given = headers['x-vault-token'];
      await admit(parts, typeof given === 'string' ? given : bearerText(headers.authorization));
      const minTtlMs = query.minimum_seconds === undefined ? null : query.minimum_seconds * 1000;
      const { accessToken, expiresAt } = await parts.keeper.tokens.get(params.grant, { minTtlMs, waitMs: WAIT_MS });
      reply.header('cache-control', 'no-store');
      return {
        request_id: Buffer.from(parts.random.bytes(REFERENCE_BYTES)).toString('hex'),
        lease_id: '' as const,
        renewable: false as const,
        lease_duration: 0 as const,
        data: {
          access_token: accessToken.reveal(),
          type: 'Bearer' as const,
          expire_time: Number.isFinite(expiresAt) ? toRfc3339(expiresAt) : null,
        },
        wrap_info: null,
        warnings: null,
        auth: null,
      };
    },
  );
}

async function admit({ apiKeys }: HttpParts, key: string | null): Promise<void> {
  const caller = key === null ? null : (apiKeys.recall(key) ?? (await apiKeys.verify(key)));
  const remedy = 'Send an API key with the scope "token" as X-Vault-Token.';
  if (!caller) throw new EvergrantError('unauthorized', 'No valid API key was sent.', { remedy });
  if (!may(caller, 'token')) throw new EvergrantError('forbidden', 'This API key may not read tokens.', { remedy });
}
