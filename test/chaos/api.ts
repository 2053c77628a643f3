/** The HTTP API of a node, as clients and a browser use it. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ErrorCode } from '../../src/core/errors.ts';

/** What is looked at in answers; which of it is there depends on what was asked. */
export interface Body {
  readonly id: string;
  readonly state: string;
  readonly code: ErrorCode;
  readonly access_token: string;
  readonly authorization_url: string;
  readonly retry_after?: number;
  readonly generation: number;
  readonly next_exchange_at: string | null;
  readonly diagnosis?: { readonly code: string; readonly evidence: string; readonly since: string };
  readonly items: readonly HistoryItem[];
  readonly next: string | null;
}

export interface HistoryItem {
  readonly version: number;
  readonly type: string;
  readonly at: string;
  readonly generation: number;
  readonly link: string | null;
  readonly parent: string | null;
  readonly node: string | null;
  readonly outcome: string;
}

export interface Answer {
  readonly status: number;
  readonly retryAfter: number | null;
  readonly body: Body;
}

/** Longer than any call may take: one that is not answered by then hangs. */
export const CALL_MS = 60_000;

const RELOADS = 60;

export interface Api {
  readonly origin: string;
  readonly adminKey: string;
}

/** Rejects where the connection breaks, or no answer comes. */
export async function call(api: Api, method: 'GET' | 'POST', path: string, body?: unknown): Promise<Answer> {
  const answer = await fetch(`${api.origin}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${api.adminKey}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    signal: AbortSignal.timeout(CALL_MS),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const after = answer.headers.get('retry-after');
  return {
    status: answer.status,
    retryAfter: after === null ? null : Number(after),
    body: (await answer.json()) as Body,
  };
}

/** Walks through an authorization as a browser does, where the person at the provider says yes at once. */
export async function authorize({ origin }: Api, authorizationUrl: string): Promise<void> {
  const { pathname } = new URL(authorizationUrl);
  const opened = await fetch(`${origin}${pathname}`, { method: 'POST', redirect: 'manual', headers: { origin } });
  const cookie = (opened.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
  const there = await fetch(opened.headers.get('location') ?? '', { redirect: 'manual' });
  const back = new URL(there.headers.get('location') ?? '');
  let done = await fetch(`${origin}${back.pathname}${back.search}`, { headers: { cookie } });
  // A person whom the page asks to wait loads it again.
  for (let left = RELOADS; done.status === 503 && left > 0; left--) {
    await sleep(1_000);
    done = await fetch(`${origin}${back.pathname}${back.search}`, { headers: { cookie } });
  }
  if (done.status !== 200) throw new Error(`The authorization ended with ${done.status}: ${await done.text()}`);
}

/** The whole history, oldest first. */
export async function history(api: Api, grant: string): Promise<readonly HistoryItem[]> {
  const items: HistoryItem[] = [];
  for (let after: string | null = ''; after !== null; ) {
    const more: string = after === '' ? '' : `&after=${encodeURIComponent(after)}`;
    const { status, body } = await call(api, 'GET', `/v1/grants/${grant}/history?limit=100${more}`);
    if (status !== 200) throw new Error(`The history of ${grant} is not told: ${status} ${JSON.stringify(body)}`);
    items.push(...body.items);
    after = body.next;
  }
  return items.toReversed();
}
