/**
 * Faults on demand: a queue that tests fill, and rates drawn from the seed. A fault strikes before the request has its
 * effect, after it, in the delivery of the answer, or in what the answer says. Each is asked for by its name.
 */
import { readPointer } from '../oauth/json-pointer.ts';
import type { Chance } from './chance.ts';
import type { Form } from './form.ts';
import type { Endpoint } from './ledger.ts';
import { type Fields, removeAt, setAt } from './pointers.ts';
import { answer, type Delivery, type Reply } from './wire.ts';

/** Every fault there is, with the place where it strikes. */
export const FAULTS = {
  'drop-before-commit': 'delivery',
  'drop-after-commit': 'delivery',
  'truncate-body': 'delivery',
  'reset-mid-body': 'delivery',
  'slow-drip': 'delivery',
  hang: 'delivery',
  'tls-error': 'delivery',
  'dns-failure': 'delivery',
  delay: 'time',
  'http-500': 'status',
  'http-502': 'status',
  'http-503': 'status',
  'http-429': 'status',
  'spurious-chain-id': 'status',
  'bad-json': 'answer',
  'wrong-content-type': 'answer',
  'omit-refresh-token': 'answer',
  'same-refresh-token': 'answer',
  'expires-in': 'answer',
  'omit-token-type': 'answer',
  'form-encoded': 'answer',
  'status-201': 'answer',
  'bit-flip': 'answer',
  'dead-on-arrival': 'server',
  'duplicate-delivery': 'server',
  'chain-reset': 'server',
  'consent-revoked': 'server',
  'secret-rotated': 'server',
  'clock-skew': 'server',
  'user-password-changed': 'login',
  'totp-reset': 'login',
  'captcha-on-login': 'login',
  'login-page-changed': 'login',
} as const;

export type FaultName = keyof typeof FAULTS;

export interface FaultSpec {
  /** What it waits for; what is left out matches everything. `n`: the n-th such request from now on, 1 the next. */
  readonly match?: {
    readonly endpoint?: Endpoint;
    /** User name. */
    readonly user?: string;
    /** Client id. */
    readonly app?: string;
    readonly n?: number;
  };
  readonly fault: FaultName;
  /** How often it strikes; 1 where not said. */
  readonly times?: number;
  /** Whether the request had its effect: for `hang` (default after) and the `http-…` faults (default before). */
  readonly commit?: 'before' | 'after';
  /** `delay`: how long, in milliseconds. `slow-drip`: the pause between chunks. `clock-skew`: how far ahead. */
  readonly ms?: number;
  /** `truncate-body`, `reset-mid-body`: where; the default is the middle. */
  readonly at?: number | 'after-refresh-token';
  /** `http-429`, `http-503`: Retry-After in seconds. */
  readonly retry_after?: number;
  /** `expires-in`: how it is spelled, or which value it has. */
  readonly as?: 'string' | 'number' | 'missing' | 0;
  /** `duplicate-delivery`: whose answer comes back. */
  readonly deliver?: 'first' | 'second';
}

/** Who asks for what: by this a fault is matched. */
export interface Where {
  readonly endpoint: Endpoint;
  readonly user: string | null;
  readonly app: string | null;
}

export class Faults {
  readonly #rates: readonly (readonly [FaultName, number])[];
  readonly #chance: Chance;
  #queue: { readonly spec: FaultSpec; skip: number; left: number }[] = [];

  constructor(rates: Readonly<Partial<Record<FaultName, number>>>, chance: Chance) {
    this.#rates = (Object.keys(FAULTS) as FaultName[]).flatMap((name) => (rates[name] ? [[name, rates[name]]] : []));
    this.#chance = chance;
  }

  add(specs: readonly FaultSpec[]): void {
    for (const spec of specs) this.#queue.push({ spec, skip: (spec.match?.n ?? 1) - 1, left: spec.times ?? 1 });
  }

  waiting(): readonly FaultSpec[] {
    return this.#queue.map((one) => one.spec);
  }

  /** The fault for this request: first in, first out; then what the rates draw, on the token endpoint only. */
  take(where: Where): FaultSpec | null {
    return this.#fromQueue(where) ?? (where.endpoint === 'token' ? this.#drawn() : null);
  }

  #fromQueue(where: Where): FaultSpec | null {
    for (const entry of this.#queue) {
      if (!matches(entry.spec, where)) continue;
      if (entry.skip-- > 0) continue;
      if (--entry.left <= 0) this.#queue = this.#queue.filter((one) => one !== entry);
      return entry.spec;
    }
    return null;
  }

  #drawn(): FaultSpec | null {
    // Each rate is drawn at each request, so that one rate more does not move the others.
    const hit = this.#rates.filter(([name, rate]) => this.#chance.fraction(`fault ${name}`) < rate);
    return hit[0] ? { fault: hit[0][0] } : null;
  }
}

function matches({ match, fault }: FaultSpec, where: Where): boolean {
  const endpoint = match?.endpoint ?? (FAULTS[fault] === 'login' ? 'login' : 'token');
  if (endpoint !== where.endpoint) return false;
  if (match?.app !== undefined && match.app !== where.app) return false;
  return match?.user === undefined || match.user.toLowerCase() === where.user?.toLowerCase();
}

/** Whether the request is answered without having any effect. */
export function strikesBefore(spec: FaultSpec): boolean {
  switch (spec.fault) {
    case 'drop-before-commit':
    case 'tls-error':
    case 'dns-failure':
    case 'spurious-chain-id':
      return true;
    case 'http-500':
    case 'http-502':
    case 'http-503':
    case 'http-429':
      return spec.commit !== 'after';
    case 'hang':
      return spec.commit === 'before';
    default:
      return false;
  }
}

const HTML_OF: Record<string, string> = {
  500: 'Internal Server Error',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
};

/** Whether the request had its effect, and no byte of the answer reaches the client. */
export function isAnswerLost({ fault }: FaultSpec): boolean {
  return fault === 'drop-after-commit' || fault === 'hang';
}

/** What spoiling an answer needs to know: the refresh token of the request, and what the members are called. */
export interface Spoils {
  readonly presented: string | null;
  readonly members: Form['members'];
}

const USUAL: Spoils = {
  presented: null,
  members: { refreshToken: '/refresh_token', expiresIn: '/expires_in', tokenType: '/token_type' },
};

/** What reaches the client in place of `good`. */
export function spoil(good: Reply, spec: FaultSpec, spoils: Spoils = USUAL): Reply {
  switch (FAULTS[spec.fault]) {
    case 'delivery':
      return { ...good, delivery: delivery(good, spec, spoils) };
    case 'time':
      return { ...good, afterMs: spec.ms ?? 1000 };
    case 'status':
      return errorPage(good, spec);
    case 'answer':
      return isTokenAnswer(good) ? spoilAnswer(good, spec, spoils) : good;
    default:
      return good;
  }
}

/** Other answers have no such fields to spoil. */
function isTokenAnswer({ status, headers }: Reply): boolean {
  return status === 200 && (headers['content-type'] ?? '').startsWith('application/json');
}

function delivery(good: Reply, spec: FaultSpec, spoils: Spoils): Delivery {
  switch (spec.fault) {
    case 'hang':
      return { kind: 'hang' };
    case 'tls-error':
      return { kind: 'alert' };
    case 'truncate-body':
      return { kind: 'partial', bytes: cutAt(good, spec.at, spoils), end: 'close' };
    case 'reset-mid-body':
      return { kind: 'partial', bytes: cutAt(good, spec.at, spoils), end: 'reset' };
    case 'slow-drip':
      return { kind: 'drip', chunkBytes: 16, pauseMs: spec.ms ?? 20 };
    default:
      return { kind: 'none' };
  }
}

function cutAt(good: Reply, at: FaultSpec['at'], { members }: Spoils): number {
  if (typeof at === 'number') return Math.min(at, Buffer.byteLength(good.text));
  const middle = Math.floor(Buffer.byteLength(good.text) / 2);
  if (at === undefined || !isTokenAnswer(good)) return middle;
  const { text } = good;
  const token = readPointer(JSON.parse(text), members.refreshToken);
  const found = typeof token === 'string' ? text.indexOf(`"${token}"`) : -1;
  return found < 0 ? middle : found + String(token).length + 2;
}

function errorPage(good: Reply, spec: FaultSpec): Reply {
  if (spec.fault === 'spurious-chain-id') return good;
  const retryAfter = spec.retry_after === undefined ? {} : { 'retry-after': String(spec.retry_after) };
  const status = Number(spec.fault.slice('http-'.length));
  if (status === 429) return answer(429, { 'content-type': 'text/plain', ...retryAfter }, '');
  const title = `${status} ${HTML_OF[status] ?? ''}`;
  const page = `<html>\r\n<head><title>${title}</title></head>\r\n<body><h1>${title}</h1></body>\r\n</html>\r\n`;
  return answer(status, { 'content-type': 'text/html', ...retryAfter }, page);
}

function spoilAnswer(good: Reply, spec: FaultSpec, spoils: Spoils): Reply {
  const headers = { ...good.headers };
  const { text } = good;
  switch (spec.fault) {
    case 'bad-json':
      return answer(200, headers, text.slice(0, -1));
    case 'wrong-content-type':
      return answer(200, { ...headers, 'content-type': 'text/html' }, text);
    case 'status-201':
      return answer(201, headers, text);
    case 'form-encoded': {
      const form = new URLSearchParams(JSON.parse(text) as Record<string, string>);
      return answer(200, { ...headers, 'content-type': 'application/x-www-form-urlencoded' }, String(form));
    }
    default:
      return answer(200, headers, JSON.stringify(spoilFields(JSON.parse(text) as Fields, spec, spoils)));
  }
}

function spoilFields(fields: Fields, spec: FaultSpec, { presented, members }: Spoils): Fields {
  const token = readPointer(fields, members.refreshToken);
  switch (spec.fault) {
    case 'omit-refresh-token':
      removeAt(fields, members.refreshToken);
      break;
    case 'omit-token-type':
      removeAt(fields, members.tokenType);
      break;
    case 'same-refresh-token':
      if (presented !== null) setAt(fields, members.refreshToken, presented);
      break;
    case 'bit-flip':
      if (typeof token === 'string') setAt(fields, members.refreshToken, bitFlipped(token));
      break;
    case 'expires-in':
      spellExpiresIn(fields, spec.as ?? 'number', members.expiresIn);
      break;
    default:
  }
  return fields;
}

function spellExpiresIn(fields: Fields, as: NonNullable<FaultSpec['as']>, pointer: string): void {
  const seconds = readPointer(fields, pointer);
  if (as === 'missing') removeAt(fields, pointer);
  else if (as === 0) setAt(fields, pointer, 0);
  else setAt(fields, pointer, as === 'string' ? String(seconds) : Number(seconds));
}

/** One bit of the last character is another, and the token still looks like one. */
function bitFlipped(token: string): string {
  const last = token.slice(-1);
  return token.slice(0, -1) + (last === 'A' ? 'C' : last === 'C' ? 'A' : last === 'B' ? 'C' : 'B');
}
