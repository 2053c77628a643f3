/** A client with a durable refresh token and its secret at the token endpoint, beside a bare server with the same answer. */
import { compare, type Shot, type Speed, type Turn } from './measure.ts';
import { type Evergrant, startBaseline, startEvergrant } from './servers.ts';

export async function clientSpeed(workers = 1): Promise<Speed> {
  await using evergrant = await startEvergrant({}, '--workers', String(workers));
  await evergrant.addGrants(0, 1);
  const [turn] = await clientTurns(evergrant, ['grant-0']);
  const { path = '', body = '' } = turn ?? {};
  const headers = FORM;
  await using baseline = await startBaseline(evergrant.origin + path, headers, body);
  const [ours, theirs] = [evergrant, baseline].map(
    ({ origin, pid }): Shot => ({ url: origin + path, pid, method: 'POST', headers, body }),
  );
  if (!ours || !theirs) throw new Error('two servers are compared');
  return await compare(ours, theirs);
}

export const FORM = { 'content-type': 'application/x-www-form-urlencoded' } as const;

/** What a new client of these grants sends to get their tokens, with the refresh token of each. */
export async function clientTurns({ origin, key }: Evergrant, grants: readonly string[]): Promise<readonly Turn[]> {
  const answer = await fetch(`${origin}/v1/clients`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'bench', grants }),
  });
  if (answer.status !== 201) throw new Error(`no client was made: ${answer.status}`);
  const { client_id, client_secret, refresh_tokens } = (await answer.json()) as {
    readonly client_id: string;
    readonly client_secret: string;
    readonly refresh_tokens: Readonly<Record<string, string>>;
  };
  return Object.values(refresh_tokens).map((refresh_token) => ({
    path: '/oauth/token',
    body: String(new URLSearchParams({ grant_type: 'refresh_token', refresh_token, client_id, client_secret })),
  }));
}
