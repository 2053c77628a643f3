/**
 * One emulated server as a handler over plain values, and the controls that tests hold. Requests that name another host
 * than its own are refused: a page in a browser cannot reach it by a name it was lured to (DNS rebinding).
 */
import type { Family } from '../core/family.ts';
import { after, type Instant, toRfc3339 } from '../core/instant.ts';
import { fromBase32, totp } from '../core/totp.ts';
import { apiEndpoint } from './api.ts';
import { authorizeEndpoint } from './authorization-server.ts';
import { type Context, type Preselection, shownTime } from './context.ts';
import { type FaultName, Faults, type FaultSpec } from './faults.ts';
import type { Form, Switches } from './form.ts';
import { type FamilyTree, familyTree, Ledger, type LedgerEntry } from './ledger.ts';
import { Limits } from './limits.ts';
import { asSeenInRealTime } from './speed.ts';
import { tokenEndpoint } from './token-endpoint.ts';
import { Upstream, type User } from './upstream.ts';
import { answer, type EmulatorAnswer, type EmulatorRequest, urlOf } from './wire.ts';

export interface ServerOptions {
  readonly form: Form;
  readonly seed: number | string;
  /** Every duration is divided by it. */
  readonly speed: number;
  readonly switches: Partial<Switches>;
  readonly redirectUris: readonly string[];
  /** Faults by chance: the share of requests to the token endpoint that each strikes. */
  readonly faultRates: Readonly<Partial<Record<FaultName, number>>>;
  readonly clock: { now(): Instant };
  readonly sleep: (ms: number) => Promise<void>;
}

/** Everything that may be seen, as of now; no secrets but those of the test itself. */
export interface EmulatorState {
  readonly now: string;
  readonly speed: number;
  readonly switches: Switches;
  readonly apps: readonly { client_id: string; name: string; redirect_uris: readonly string[] }[];
  readonly users: readonly { username: string; user_id: string; division: number }[];
  readonly families: readonly FamilyTree[];
  readonly faults: readonly FaultSpec[];
  readonly preselection: Preselection;
}

export class EmulatedServer {
  readonly #options: ServerOptions;
  #context: Context;
  #offsetMs = 0;
  #hosts: ReadonlySet<string> | null = null;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#context = this.#fresh();
  }

  /** Bound, so that it can be handed on. Never rejects. */
  readonly handle = async (request: EmulatorRequest): Promise<EmulatorAnswer> => {
    if (!this.isOwnHost(request)) {
      return answer(421, { 'content-type': 'text/plain' }, 'This server is not known by that name.\n');
    }
    const given = await this.#route(request);
    return { ...given, headers: { date: new Date(shownTime(this.#context)).toUTCString(), ...given.headers } };
  };

  isOwnHost(request: EmulatorRequest): boolean {
    return this.#hosts === null || this.#hosts.has((request.headers.host ?? '').toLowerCase());
  }

  /** From now on only requests to these hosts (with port) are answered. */
  onlyFor(hosts: readonly string[]): void {
    this.#hosts = new Set(hosts.map((host) => host.toLowerCase()));
  }

  async #route(request: EmulatorRequest): Promise<EmulatorAnswer> {
    const { pathname } = urlOf(request);
    const { paths } = this.#options.form;
    const isUnder = (path: string) => pathname === path || pathname.startsWith(`${path}/`);
    if (pathname === paths.token) return tokenEndpoint(this.#context, request);
    if (isUnder(paths.authorize)) return authorizeEndpoint(this.#context, request);
    if (isUnder(paths.api)) return apiEndpoint(this.#context, request);
    return answer(404, { 'content-type': 'text/plain' }, 'Nothing is here.\n');
  }

  #fresh(): Context {
    const { form, seed, speed, switches, redirectUris, faultRates, sleep } = this.#options;
    const upstream = new Upstream({ form, seed, speed, switches, redirectUris });
    return {
      upstream,
      faults: new Faults(faultRates, upstream.chance),
      limits: new Limits(speed),
      ledger: new Ledger(),
      visits: new Map(),
      preselection: { decision: 'interactive' },
      skewMs: 0,
      now: () => this.now(),
      sleep,
    };
  }

  now(): Instant {
    return after(this.#options.clock.now(), this.#offsetMs);
  }

  advance(ms: number): void {
    this.#offsetMs += ms;
  }

  setClock(now: Instant): void {
    this.#offsetMs = now - this.#options.clock.now();
  }

  addFaults(specs: readonly FaultSpec[]): void {
    this.#context.faults.add(specs);
  }

  expire(what: 'refresh' | 'access' | 'code', username?: string): void {
    this.#context.upstream.expire(what, username === undefined ? null : (this.#user(username)?.id ?? ''));
  }

  /** The user withdraws the consent; of everybody and every app, where not said otherwise. Gives how many chains ended. */
  revoke(whose: { readonly user?: string; readonly app?: string } = {}): number {
    const user = whose.user === undefined ? null : (this.#user(whose.user)?.id ?? '');
    const isHit = (one: Family) =>
      !one.revoked && (user === null || one.user === user) && (whose.app === undefined || one.client === whose.app);
    const hit = this.#context.upstream.families().filter(isHit);
    for (const family of hit) this.#context.upstream.revoke(family, 'revoked', this.now());
    return hit.length;
  }

  /** What the next authorizations meet. */
  preselect(preselection: Preselection): void {
    this.#context.preselection = preselection;
  }

  change(switches: Partial<Switches>): void {
    this.#context.upstream.change(switches);
  }

  addUser(user: { readonly username: string; readonly password?: string; readonly fullName?: string }): User {
    return this.#context.upstream.addUser(user);
  }

  addApp(name: string, redirectUris: readonly string[]): { readonly clientId: string; readonly clientSecret: string } {
    return this.#context.upstream.addApp(name, redirectUris);
  }

  /** The verification code that the user's authenticator shows now, by the emulator's clock. */
  totpCode(username?: string): string {
    const user = username === undefined ? this.defaultUser() : this.#user(username);
    const secret = user && fromBase32(user.totpSecret);
    if (!secret) throw new Error(`no such user: ${username}`);
    return totp(secret, this.now());
  }

  defaultUser(): User {
    const [user] = this.#context.upstream.users.values();
    if (!user) throw new Error('the emulator has no user');
    return user;
  }

  defaultApp(): { readonly clientId: string; readonly clientSecret: string; readonly redirectUris: readonly string[] } {
    const [app] = this.#context.upstream.apps.values();
    if (!app) throw new Error('the emulator has no app');
    return app;
  }

  ledger(): readonly LedgerEntry[] {
    return this.#context.ledger.entries();
  }

  families(): readonly FamilyTree[] {
    const { upstream } = this.#context;
    return upstream.families().map((family) => familyTree(family, upstream));
  }

  state(): EmulatorState {
    const { upstream, faults, preselection } = this.#context;
    return {
      now: toRfc3339(this.now()),
      speed: upstream.speed,
      switches: upstream.switches,
      apps: [...upstream.apps.values()].map(({ clientId, name, redirectUris }) => ({
        client_id: clientId,
        name,
        redirect_uris: redirectUris,
      })),
      users: [...upstream.users.values()].map(({ username, id, division }) => ({ username, user_id: id, division })),
      families: this.families(),
      faults: faults.waiting(),
      preselection,
    };
  }

  /** Back to the first moment: no tokens, no faults, no ledger, the clock as it is; the seed begins again. */
  reset(): void {
    this.#offsetMs = 0;
    this.#context = this.#fresh();
  }

  providerFile(baseUrl: string): Record<string, unknown> {
    const { form, policy, speed } = this.#context.upstream;
    return form.providerFile(baseUrl, asSeenInRealTime(policy, speed));
  }

  #user(username: string): User | undefined {
    return this.#context.upstream.users.get(username.toLowerCase());
  }
}
