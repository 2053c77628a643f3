/** A client for tests: speaks to an emulator's handler under a clock that only moves when told to. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Instant } from '../core/instant.ts';
import { exactOnline } from './exact-online.ts';
import type { FaultName } from './faults.ts';
import type { Form, Switches } from './form.ts';
import { builtInForm, fileOfName, formOfName } from './forms.ts';
import { EmulatedServer } from './server.ts';
import type { EmulatorAnswer } from './wire.ts';

const PROVIDERS = join(import.meta.dirname, '../../providers');

export const START = Date.UTC(2026, 10, 22, 9) as Instant;
export const CALLBACK = 'http://127.0.0.1:8787/callback';

export interface Tokens {
  readonly access: string;
  readonly refresh: string;
}

export interface Said {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
  readonly delivery: EmulatorAnswer['delivery']['kind'];
}

export interface Wishes {
  readonly form?: Form;
  readonly jwks?: unknown;
  readonly seed?: number;
  readonly speed?: number;
  readonly switches?: Partial<Switches>;
  readonly faultRates?: Partial<Record<FaultName, number>>;
}

export class TestClient {
  readonly server: EmulatedServer;
  readonly form: Form;
  /** What a fault waited, in milliseconds. */
  readonly waits: number[] = [];
  now = START;

  constructor(wishes: Wishes = {}) {
    this.form = wishes.form ?? exactOnline;
    this.server = new EmulatedServer({
      form: this.form,
      seed: wishes.seed ?? 1,
      speed: wishes.speed ?? 1,
      switches: wishes.switches ?? {},
      faultRates: wishes.faultRates ?? {},
      redirectUris: [CALLBACK],
      jwks: wishes.jwks ?? null,
      clock: { now: () => this.now },
      sleep: async (ms) => {
        this.waits.push(ms);
      },
    });
  }

  /** Seconds since the start. */
  at(seconds: number): this {
    this.now = (START + seconds * 1000) as Instant;
    return this;
  }

  async send(method: string, url: string, headers: Record<string, string> = {}, body = ''): Promise<Said> {
    const given = await this.server.handle({ method, url, headers, body: new TextEncoder().encode(body) });
    return {
      status: given.status,
      headers: given.headers,
      text: new TextDecoder().decode(given.body),
      delivery: given.delivery.kind,
    };
  }

  async token(fields: Record<string, string>, client = this.server.defaultApp()): Promise<Said> {
    const { clientId, clientSecret } = client;
    const { paths, clientIdParameter, bodies } = this.form;
    const all = { [clientIdParameter]: clientId, client_secret: clientSecret, ...fields };
    const path = (fields.grant_type === 'refresh_token' && paths.refresh) || paths.token;
    if (bodies[0] === 'json')
      return this.send('POST', path, { 'content-type': 'application/json' }, JSON.stringify(all));
    return this.send('POST', path, FORM, String(new URLSearchParams(all)));
  }

  refresh(refreshToken: string): Promise<Said> {
    return this.token({ grant_type: 'refresh_token', refresh_token: refreshToken });
  }

  async authorize(query: Record<string, string> = {}): Promise<Said> {
    const { clientId } = this.server.defaultApp();
    const { paths, clientIdParameter } = this.form;
    const usual = { [clientIdParameter]: clientId, redirect_uri: CALLBACK, response_type: 'code', state: 's' };
    return this.send('GET', `${paths.authorize}?${String(new URLSearchParams({ ...usual, ...query }))}`);
  }

  /** A code without pages. */
  async code(query: Record<string, string> = {}): Promise<string> {
    this.server.preselect({ decision: 'approve', user: null, once: true });
    const { headers } = await this.authorize(query);
    return new URL(headers.location ?? '').searchParams.get('code') ?? '';
  }

  redeem(code: string, more: Record<string, string> = {}): Promise<Said> {
    return this.token({ grant_type: 'authorization_code', code, redirect_uri: CALLBACK, ...more });
  }

  /** A new authorization, all the way. */
  async connect(query: Record<string, string> = {}): Promise<Tokens> {
    return tokensOf(await this.redeem(await this.code(query)));
  }

  get(path: string, accessToken: string): Promise<Said> {
    return this.send('GET', path, { authorization: `Bearer ${accessToken}` });
  }

  me(accessToken: string): Promise<Said> {
    return this.send('GET', '/api/v1/current/Me', { authorization: `Bearer ${accessToken}` });
  }
}

export const FORM = { 'content-type': 'application/x-www-form-urlencoded' };

/** The form of a provider that comes with Evergrant, as on the day on which the tests begin. */
export function formNamed(name: string): Form {
  const path = join(PROVIDERS, `${fileOfName(name)}.json`);
  return builtInForm(name) ?? formOfName(name, { name: path, text: readFileSync(path, 'utf8') }, START);
}

/** The tokens of an answer; throws when there are none. */
export function tokensOf(said: Said): Tokens {
  const body = JSON.parse(said.text) as { access_token?: string; refresh_token?: string };
  if (!body.access_token || !body.refresh_token) throw new Error(`no tokens: ${said.status} ${said.text}`);
  return { access: body.access_token, refresh: body.refresh_token };
}

export const OLD = '{"error":"unauthorized_client","error_description":"Old refresh token used."}';
export const CHAIN =
  '{ "error":"invalid_grant","error_description":"Token is not allowed, because of invalid or empty chainId" }';
