/**
 * An issuer on a bench: real issuer on a real keeper, memory store, a clock that stands still. What happened to clients
 * is read from the log, as an operator would.
 */
import type { Parameters } from '../../src/oauth/form.ts';
import { OAuthError } from '../../src/oauth/oauth-error.ts';
import { createIssuer, type Issuer } from '../../src/issuer/issuer.ts';
import type { NewClient } from '../../src/issuer/clients.ts';
import type { LogFields } from '../../src/ports/log.ts';
import type { Network } from '../../src/ports/network.ts';
import type { Records, Store } from '../../src/ports/store.ts';
import { systemRandom } from '../../src/world/system-random.ts';
import { type Bench, bench, type BenchOptions } from './keeper-bench.ts';

const PUBLIC_URL = 'http://127.0.0.1:8787';

export interface Answer {
  readonly access_token: string;
  readonly token_type: string;
  readonly expires_in: number;
  readonly scope: string;
  readonly refresh_token?: string;
  readonly issued_token_type?: string;
}

/** Counts what is asked of the records. */
function counted(records: Records, asked: string[]): Records {
  return new Proxy(records, {
    get: (target, name: keyof Records) => {
      const work = target[name] as (...words: unknown[]) => unknown;
      return (...words: unknown[]) => {
        asked.push(`${name} ${String(words[0])}`);
        return work.apply(target, words);
      };
    },
  });
}

export interface IssuerOptions {
  /** As another node reaches and hears them; left out: as this one does. */
  readonly records?: Records;
  readonly changes?: Pick<Store, 'watch' | 'heardAgoMs'>;
  /** Where trusted issuers publish their keys. */
  readonly keys?: Network;
}

export async function issuerBench(options: BenchOptions & IssuerOptions = {}) {
  return issuerOn(await bench(options), options);
}

/** An issuer on a keeper that is there. */
export function issuerOn(world: Bench, options: IssuerOptions = {}) {
  const events: LogFields[] = [];
  const asked: string[] = [];
  const note = (_: string, fields?: LogFields) => {
    if (fields) events.push(fields);
  };
  const log = { debug() {}, info: note, warn: note, error: note };
  const start = (): Issuer =>
    createIssuer({
      keeper: world.keeper,
      records: counted(options.records ?? world.store.records, asked),
      changes: options.changes ?? world.store,
      sealer: world.sealer,
      network: options.keys ?? world.upstream,
      clock: world.clock,
      random: systemRandom,
      log,
      publicUrl: PUBLIC_URL,
    });
  let issuer = start();

  /** A request to the token endpoint, first as a repetition, then whole. */
  async function token(
    fields: Readonly<Record<string, string>>,
    authorization?: string,
    dpop?: string,
  ): Promise<Answer> {
    const form = Buffer.from(new URLSearchParams(fields).toString());
    const known = dpop === undefined ? issuer.token.recall(authorization, form) : null;
    const body = known ?? (await world.clock.until(issuer.token.answer(authorization, form, dpop)));
    return JSON.parse(body) as Answer;
  }

  /** A client with one grant, and a short way to use its refresh token. */
  async function client(wish: Partial<NewClient> = {}, alias = 'eol') {
    const { client: made, secret, tokens } = await issuer.clients.create({ name: 'Reports', grants: [alias], ...wish });
    const credentials = { client_id: made.id, ...(secret ? { client_secret: secret.reveal() } : {}) };
    const refreshToken = tokens[0]?.refreshToken.reveal() ?? '';
    const refresh = (text = refreshToken, dpop?: string) =>
      token({ grant_type: 'refresh_token', refresh_token: text, ...credentials }, undefined, dpop);
    return { made, id: made.id, credentials, secret: secret?.reveal() ?? '', refreshToken, refresh };
  }

  return {
    world,
    events,
    asked,
    token,
    client,
    get issuer() {
      return issuer;
    },
    /** Another process on the same store. */
    async restart(): Promise<void> {
      await issuer.drain();
      issuer = start();
    },
    /** The same, after a crash: nothing was written at the end. */
    crash(): void {
      issuer = start();
    },
  };
}

/** What a request was refused with, as it is on the wire. */
export async function refused(
  request: Promise<unknown>,
): Promise<Readonly<Record<string, string>> & { status: number }> {
  try {
    await request;
  } catch (error) {
    if (!(error instanceof OAuthError)) throw error;
    return { ...error.parameters, status: error.status } as never;
  }
  throw new Error('a token was given');
}

export function parameters(fields: Readonly<Record<string, string>>): Parameters {
  return new Map(Object.entries(fields).filter(([, value]) => value !== ''));
}
