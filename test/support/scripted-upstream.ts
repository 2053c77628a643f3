/**
 * An upstream for tests of the keeper alone: a token endpoint and an account address whose answers a test can script,
 * and a record of what was asked of it. It rotates with every exchange and knows no rules; rules are the emulator's.
 */
import type { Connection, HttpAnswer, HttpRequest, Lost, Network, NotSent } from '../../src/ports/network.ts';

export type Reply = HttpAnswer | Lost | NotSent;

export class ScriptedUpstream implements Network {
  /** Refresh tokens and codes presented, in order. */
  readonly presented: string[] = [];
  /** Access tokens that the account address saw. */
  readonly probed: string[] = [];
  /** Answers to give instead of the usual one, first in, first out. */
  readonly script: ((request: URLSearchParams) => Reply | Promise<Reply>)[] = [];
  account = { status: 200, body: { sub: 'account-1', name: 'Account One' } };
  isReachable = true;
  /** Awaited before each answer: tests hold answers back with it. */
  gate: () => Promise<void> = async () => undefined;
  #count = 0;

  async open(url: string): Promise<Connection | NotSent> {
    if (!this.isReachable) return { kind: 'not_sent', reason: 'connection refused' };
    return {
      kind: 'connection',
      send: (request) => (url.endsWith('/token') ? this.#token(request) : this.#me(request)),
      close: () => undefined,
    };
  }

  /** The usual answer: a new pair. */
  tokens(change: Record<string, unknown> = {}): HttpAnswer {
    this.#count++;
    const pair = { access_token: `at-${this.#count}`, token_type: 'bearer', refresh_token: `rt-${this.#count}` };
    return json(200, { ...pair, expires_in: 600, ...change });
  }

  async #token(request: HttpRequest): Promise<Reply> {
    const form = new URLSearchParams(request.body);
    this.presented.push(form.get('refresh_token') ?? form.get('code') ?? '');
    const reply = this.script.shift();
    const given = reply ? await reply(form) : this.tokens();
    await this.gate();
    return given;
  }

  async #me(request: HttpRequest): Promise<Reply> {
    this.probed.push((request.headers.authorization ?? '').replace('Bearer ', ''));
    return json(this.account.status, this.account.body);
  }
}

export function json(status: number, body: unknown, headers: Record<string, string> = {}): HttpAnswer {
  return answer(status, JSON.stringify(body), { 'content-type': 'application/json', ...headers });
}

export function answer(
  status: number,
  body: string,
  headers: Record<string, string> = {},
  complete = true,
): HttpAnswer {
  return { kind: 'answer', status, headers, body: new TextEncoder().encode(body), complete };
}

export const LOST: Lost = { kind: 'lost', reason: 'connection reset' };
