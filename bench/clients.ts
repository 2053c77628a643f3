/** A client with a durable refresh token and its secret at the token endpoint, beside a bare server with the same answer. */
import { compare, type Shot, type Speed } from './measure.ts';
import { startBaseline, startEvergrant } from './servers.ts';

export async function clientSpeed(workers = 1): Promise<Speed> {
  await using evergrant = await startEvergrant({}, '--workers', String(workers));
  await evergrant.addGrants(0, 1);
  const body = await requestOf(evergrant.origin, evergrant.key);
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  const path = '/oauth/token';
  await using baseline = await startBaseline(evergrant.origin + path, headers, body);
  const [ours, theirs] = [evergrant, baseline].map(
    ({ origin, pid }): Shot => ({ url: origin + path, pid, method: 'POST', headers, body }),
  );
  if (!ours || !theirs) throw new Error('two servers are compared');
  return await compare(ours, theirs);
}

/** The form that a new client sends each time. */
async function requestOf(origin: string, key: string): Promise<string> {
  const answer = await fetch(`${origin}/v1/clients`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'bench', grants: ['grant-0'] }),
  });
  if (answer.status !== 201) throw new Error(`no client was made: ${answer.status}`);
  const { client_id, client_secret, refresh_tokens } = (await answer.json()) as {
    readonly client_id: string;
    readonly client_secret: string;
    readonly refresh_tokens: Readonly<Record<string, string>>;
  };
  const refresh_token = refresh_tokens['grant-0'] ?? '';
  return String(new URLSearchParams({ grant_type: 'refresh_token', refresh_token, client_id, client_secret }));
}
