/**
 * One emulated server as a handler over plain values, and the controls that tests hold. Requests that name another host
 * than its own are refused: a page in a browser cannot reach it by a name it was lured to (DNS rebinding).
 */
import type { Family } from '../core/family.ts';
import { after, type Instant, toRfc3339 } from '../core/instant.ts';
import { fromBase32, totp } from '../core/totp.ts';
import type { UserWish, User } from './accounts.ts';
import { apiEndpoint } from './api.ts';
import { authorizeEndpoint } from './authorization-server.ts';
import { type Context, type Preselection, shownTime } from './context.ts';
import { deviceEndpoint, DeviceRequests } from './device.ts';
import { type FaultName, Faults, type FaultSpec } from './faults.ts';
import type { Form, Inside, Switches } from './form.ts';
import { IdTokens } from './id-tokens.ts';
import { Incidents } from './incidents.ts';
import { type FamilyTree, familyTree, Ledger, type LedgerEntry } from './ledger.ts';
import { Limits } from './limits.ts';
import { type Report, reportOn } from './report.ts';
import { KEYS_PATH, metadata, revocationEndpoint } from './revocation.ts';
import { asSeenInRealTime } from './speed.ts';
import { tokenEndpoint } from './token-endpoint.ts';
import { Upstream } from './upstream.ts';
import { answer, answerOf, bearerOf, type Reply, type EmulatorRequest, type Handler, json, pathOf } from './wire.ts';

export interface ServerOptions {
  readonly form: Form;
  readonly seed: number | string;
  /** Every duration is divided by it. */
  readonly speed: number;
  readonly switches: Partial<Switches>;
  readonly redirectUris: readonly string[];
  /** Public keys of the first app (RFC 7517), where it has keys instead of a secret; else null. */
  readonly jwks: unknown;
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
  #shown = { second: Number.NaN, text: '' };
  #hosts: ReadonlySet<string> | null = null;

  constructor(options: ServerOptions) {
    checkSwitches(options.form, options.switches);
    this.#options = options;
    this.#context = this.#fresh();
  }

  /** At once, where no fault delays it. Never throws or rejects. */
  respond(request: EmulatorRequest): Reply | Promise<Reply> {
    if (!this.isOwnHost(request)) {
      return answer(421, { 'content-type': 'text/plain' }, 'This server is not known by that name.\n');
    }
    const given = this.#route(request);
    if (given.afterMs === undefined) return this.#dated(given);
    return this.#options.sleep(given.afterMs).then(() => this.#dated(given));
  }

  /** Bound, so that it can be handed on. */
  readonly handle: Handler = async (request) => answerOf(await this.respond(request));

  #dated(given: Reply): Reply {
    return { ...given, headers: { date: this.#date(), ...given.headers } };
  }

  /** Made once a second. */
  #date(): string {
    const second = Math.floor(shownTime(this.#context) / 1000);
    if (this.#shown.second !== second) this.#shown = { second, text: new Date(second * 1000).toUTCString() };
    return this.#shown.text;
  }

  isOwnHost(request: EmulatorRequest): boolean {
    const host = request.headers.host ?? '';
    return this.#hosts === null || this.#hosts.has(host) || this.#hosts.has(host.toLowerCase());
  }

  /** From now on only requests to these hosts (with port) are answered. */
  onlyFor(hosts: readonly string[]): void {
    this.#hosts = new Set(hosts.map((host) => host.toLowerCase()));
  }

  #route(request: EmulatorRequest): Reply {
    const path = pathOf(request);
    const { form } = this.#options;
    const { paths } = form;
    const isUnder = (place: string) => path === place || path.startsWith(place.endsWith('/') ? place : `${place}/`);
    if (path === paths.token || path === paths.refresh) return tokenEndpoint(this.#context, request);
    if (isUnder(paths.authorize)) return authorizeEndpoint(this.#context, request);
    if (path === paths.device) return deviceEndpoint(this.#context, request);
    if (path === paths.revoke) return revocationEndpoint(this.#context, request);
    if (form.openId && path === KEYS_PATH) return json(200, this.#context.idTokens.keySet());
    const own = metadata(form, request, path) ?? form.own?.(request, this.#inside(request)) ?? null;
    if (own) return own;
    if (path === paths.userinfo || paths.api.some(isUnder)) return apiEndpoint(this.#context, request);
    return answer(404, { 'content-type': 'text/plain' }, 'Nothing is here.\n');
  }

  #inside(request: EmulatorRequest): Inside {
    const { upstream, happenings, managers } = this.#context;
    return {
      now: this.now(),
      switches: () => upstream.switches,
      change: (switches) => this.change(switches),
      happenings,
      apps: [...upstream.accounts.apps.values()],
      userName: (id) => upstream.accounts.userById(id)?.username ?? '',
      isManager: this.now() < (managers.get(bearerOf(request) ?? '') ?? 0),
    };
  }

  #fresh(): Context {
    const { form, seed, speed, switches, redirectUris, jwks, faultRates } = this.#options;
    const upstream = new Upstream({ form, seed, speed, switches, redirectUris, jwks });
    return {
      upstream,
      faults: new Faults(faultRates, upstream.chance),
      tokenCalls: new Limits(speed),
      apiCalls: new Limits(speed),
      ledger: new Ledger((presented) => upstream.textOf(presented)),
      incidents: new Incidents(),
      happenings: [],
      idTokens: new IdTokens(seed),
      managers: new Map(),
      visits: new Map(),
      devices: new DeviceRequests(),
      preselection: { decision: 'interactive' },
      skewMs: 0,
      now: () => this.now(),
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
    const { upstream } = this.#context;
    const isHit = (one: Family) =>
      !one.revoked && (user === null || one.user === user) && (whose.app === undefined || one.client === whose.app);
    const hit = [...upstream.families.all()].filter(isHit);
    for (const family of hit) upstream.end(family, 'revoked', this.now());
    return hit.length;
  }

  /** Tokens without pages and codes: as if the user had allowed everything to the app just now. */
  grant(wish: { readonly user?: string; readonly app?: string; readonly scope?: readonly string[] } = {}): {
    readonly accessToken: string;
    readonly refreshToken: string;
  } {
    const { upstream } = this.#context;
    const user = wish.user === undefined ? this.defaultUser() : this.#user(wish.user);
    if (!user) throw new RangeError(`no such user: ${wish.user}`);
    const { form, switches } = upstream;
    const allowed = {
      client: wish.app ?? this.defaultApp().clientId,
      user: user.id,
      scope: wish.scope ?? form.scope.byDefault,
      withheld: [],
      isOffline: true,
      nonce: null,
      realm: user.country ?? form.realm('', switches),
    };
    const outcome = upstream.start(allowed, this.now());
    if (!outcome.ok || outcome.issued.refreshToken === null) throw new Error('no tokens were issued');
    return { accessToken: outcome.issued.accessToken.text, refreshToken: outcome.issued.refreshToken.text };
  }

  /** Why each chain that was lost was lost, in words. */
  report(): Report {
    return reportOn(this.#context);
  }

  /** What the next authorizations meet. */
  preselect(preselection: Preselection): void {
    this.#context.preselection = preselection;
  }

  /** Throws a RangeError that names a switch which this provider does not have. */
  change(switches: Partial<Switches>): void {
    checkSwitches(this.#options.form, switches);
    this.#context.upstream.change(switches, this.now());
  }

  addUser(user: UserWish): User {
    return this.#context.upstream.accounts.addUser(user);
  }

  /** `jwks`: public keys, with which the app proves itself by `private_key_jwt` instead of its secret. */
  addApp(
    name: string,
    redirectUris: readonly string[],
    jwks: unknown = null,
  ): { readonly clientId: string; readonly clientSecret: string } {
    return this.#context.upstream.accounts.addApp(name, redirectUris, jwks);
  }

  /** The verification code that the user's authenticator shows now, by the emulator's clock. */
  totpCode(username?: string): string {
    const user = username === undefined ? this.defaultUser() : this.#user(username);
    const secret = user && fromBase32(user.totpSecret);
    if (!secret) throw new Error(`no such user: ${username}`);
    return totp(secret, this.now());
  }

  defaultUser(): User {
    const [user] = this.#context.upstream.accounts.users.values();
    if (!user) throw new Error('the emulator has no user');
    return user;
  }

  defaultApp(): { readonly clientId: string; readonly clientSecret: string; readonly redirectUris: readonly string[] } {
    const [app] = this.#context.upstream.accounts.apps.values();
    if (!app) throw new Error('the emulator has no app');
    return app;
  }

  ledger(): readonly LedgerEntry[] {
    return this.#context.ledger.entries();
  }

  families(): readonly FamilyTree[] {
    const { upstream } = this.#context;
    return [...upstream.families.all()].map((family) => familyTree(family, upstream));
  }

  state(): EmulatorState {
    const { upstream, faults, preselection } = this.#context;
    const { apps, users } = upstream.accounts;
    return {
      now: toRfc3339(this.now()),
      speed: upstream.speed,
      switches: upstream.switches,
      apps: [...apps.values()].map(({ clientId, name, redirectUris }) => ({
        client_id: clientId,
        name,
        redirect_uris: redirectUris,
      })),
      users: [...users.values()].map(({ username, id, division }) => ({ username, user_id: id, division })),
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

  get settable(): Form['settable'] {
    return this.#options.form.settable;
  }

  providerFile(baseUrl: string): Record<string, unknown> {
    const { form, policy, speed } = this.#context.upstream;
    const file = form.providerFile(baseUrl, asSeenInRealTime(policy, speed));
    return this.#options.jwks === null ? file : { ...file, token_endpoint_auth_methods: ['private_key_jwt'] };
  }

  #user(username: string): User | undefined {
    return this.#context.upstream.accounts.users.get(username.toLowerCase());
  }
}

function checkSwitches(form: Form, switches: Partial<Switches>): void {
  const surplus = Object.keys(switches).find((name) => !form.settable.some((one) => one === name));
  if (surplus === undefined) return;
  throw new RangeError(`${form.id} has no switch ${surplus}; there are: ${form.settable.join(', ')}`);
}
