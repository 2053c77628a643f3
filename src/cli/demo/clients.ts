/** Programs that use grants: each keeps asking for tokens, chain by chain, and calls the provider's API with them. */
import { NoAnswer, request } from '../../client/request.ts';
import { now, pause } from '../../client/time.ts';
import { asObject, text } from '../json.ts';
import type { Accounts } from './account.ts';
import type { Stage } from './stage.ts';

export interface Client {
  readonly name: string;
  /** An API key that may read tokens and do nothing else. */
  readonly key: string;
  readonly everyMs: number;
  /** Seconds that a token must still live, as they would be at the provider's own speed. */
  readonly minTtl: number;
}

export interface Target {
  readonly alias: string;
  readonly user: string;
}

/** Long enough for one call, even on a busy machine: 0.15 s at speed 120. */
export const USUAL_MIN_TTL = 18;
const USUAL_WAIT = 30;
const API_MS = 5_000;

/** Until the signal; a client never stops because of an error. */
export async function runClient(
  stage: Stage,
  accounts: Accounts,
  client: Client,
  targets: readonly Target[],
  stop: AbortSignal,
): Promise<void> {
  while (!stop.aborted) {
    const startedAt = now();
    await Promise.all(targets.map((target) => useGrant(stage, accounts, client, target, stop)));
    await pause(Math.max(0, client.everyMs - (now() - startedAt)));
  }
}

async function useGrant(
  stage: Stage,
  accounts: Accounts,
  client: Client,
  { alias, user }: Target,
  stop: AbortSignal,
): Promise<void> {
  const { code, token, retryAfter } = await ask(stage, client, alias);
  if (stop.aborted) return;
  if (token === null) {
    accounts.missed(user, client.minTtl === USUAL_MIN_TTL, code, retryAfter);
    return;
  }
  accounts.served(user, token);
  await call(stage, token);
}

async function ask(stage: Stage, { key, minTtl }: Client, alias: string) {
  // As fast as everything else.
  const wish = { min_ttl: minTtl / stage.speed, wait: USUAL_WAIT / stage.speed };
  try {
    const answer = await stage.send(key, 'POST', `/v1/grants/${alias}/token`, wish);
    const body = asObject(JSON.parse(answer.body));
    const token = answer.status === 200 ? text(body, 'access_token') : null;
    return { token, code: text(body, 'code'), retryAfter: answer.headers['retry-after'] };
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    return { token: null, code: 'server_away', retryAfter: undefined };
  }
}

/** What the API makes of it stands in the provider's ledger. */
async function call(stage: Stage, token: string): Promise<void> {
  try {
    await request({
      origin: stage.provider.baseUrl,
      method: 'GET',
      path: '/api/v1/current/Me?$select=UserID',
      headers: { authorization: `Bearer ${token}` },
      timeoutMs: API_MS,
    });
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
  }
}
