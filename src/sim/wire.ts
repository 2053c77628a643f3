/**
 * The network between the nodes and the provider, which loses, cuts, delays and doubles what it carries. Whether a node
 * still lives when an answer comes makes no difference to what the provider did.
 */
import type { Connection, HttpAnswer, HttpRequest, Lost, Network, NotSent } from '../ports/network.ts';
import type { Chance } from './chance.ts';
import type { WireFault } from './faults.ts';
import type { SimNode } from './node.ts';
import { ACCOUNT_URL } from './provider.ts';
import type { ChainTruth, TokenTruth } from './truth.ts';
import { accountOf, type Entry, type Reply, type SimulatedUpstream } from './upstream.ts';
import type { VirtualTime } from './virtual-time.ts';

type Outcome = HttpAnswer | Lost;

/** The run that sent: the next run of the same node gets nothing of it. */
type Receiver = Pick<SimNode, 'id' | 'life'>;

/** What the wire tells, and asks. */
export interface WireHooks {
  chain(account: string): ChainTruth | undefined;
  /** A request with this token leaves now; gives what goes wrong with it. */
  sending(node: SimNode, chain: ChainTruth, token: string): WireFault | null;
  struck(fault: WireFault, chain: ChainTruth): void;
  crash(node: SimNode): void;
}

const NOTHING_ARRIVES: Lost = { kind: 'lost', reason: 'connection reset' };

export class Wire {
  readonly #time: VirtualTime;
  readonly #chance: Chance;
  readonly #upstream: SimulatedUpstream;
  readonly #hooks: WireHooks;
  #unreachableUntil = 0;
  /** Fails the next call, for sweeps. */
  failNext: 'open' | 'send_before' | 'send_after' | null = null;
  calls = 0;

  constructor(time: VirtualTime, chance: Chance, upstream: SimulatedUpstream, hooks: WireHooks) {
    this.#time = time;
    this.#chance = chance;
    this.#upstream = upstream;
    this.#hooks = hooks;
  }

  get isUnreachable(): boolean {
    return this.#time.now() < this.#unreachableUntil;
  }

  cut(ms: number): void {
    this.#unreachableUntil = Math.max(this.#unreachableUntil, this.#time.now() + ms);
  }

  heal(): void {
    this.#unreachableUntil = 0;
  }

  of(node: SimNode): Network {
    const { life } = node;
    return {
      open: () => life.through(() => this.#open(node)),
    };
  }

  async #open(node: SimNode): Promise<Connection | NotSent> {
    this.calls++;
    const { life } = node;
    await this.#time.sleep(this.#latencyMs());
    if (this.isUnreachable || this.failNext === 'open') {
      if (this.failNext === 'open') this.failNext = null;
      return { kind: 'not_sent', reason: 'connection refused' };
    }
    return {
      kind: 'connection',
      send: (request, timeoutMs) => life.through(() => this.#send(node, request, timeoutMs)),
      close: () => undefined,
    };
  }

  #latencyMs(): number {
    return 1 + this.#chance.share() * 20;
  }

  async #send(node: SimNode, request: HttpRequest, timeoutMs: number): Promise<Outcome> {
    if (request.url.startsWith(ACCOUNT_URL)) return this.#account(request);
    this.calls++;
    const token = tokenIn(request.body ?? '');
    const chain = this.#hooks.chain(accountOf(token));
    if (!chain) throw new Error('a token of nobody was presented');
    const fault = this.#sweep() ?? this.#hooks.sending(node, chain, token);
    const span = chain.tried(this.#time.now());
    const sentAt = this.#time.now();
    const { life } = node;
    chain.presented(token, sentAt);
    chain.unansweredSince ??= sentAt;
    chain.onWire.push(life.run);
    if (fault) this.#hooks.struck(fault, chain);
    const outcome = await this.#carry(node, chain, token, fault, timeoutMs);
    span.to = this.#time.now();
    chain.onWire.splice(chain.onWire.indexOf(life.run), 1);
    // A refusal leaves things as they were; what gave tokens counts once it is written down.
    if (life.isAlive && fault !== 'server_error_after' && isRefusal(outcome)) {
      chain.presentedInVain(token, sentAt);
      if (chain.unansweredSince === sentAt) chain.unansweredSince = null;
    }
    return outcome;
  }

  #sweep(): WireFault | null {
    const fails = this.failNext;
    this.failNext = null;
    return fails === 'send_before' ? 'request_lost' : fails === 'send_after' ? 'answer_lost' : null;
  }

  async #carry(
    node: SimNode,
    chain: ChainTruth,
    token: string,
    fault: WireFault | null,
    timeoutMs: number,
  ): Promise<Outcome> {
    const sentAt = this.#time.now();
    const { life } = node;
    const to: Receiver = { id: node.id, life };
    await this.#time.sleep(this.#latencyMs());
    switch (fault) {
      case 'crash_before_processing':
        this.#crash(node, life);
        return NOTHING_ARRIVES;
      case 'request_lost':
        return this.#nothing(sentAt, timeoutMs);
      case 'provider_error':
        return answerOf(this.#error(chain));
      case 'chain_unknown':
        return answerOf({ status: 400, headers: JSON_TYPE, body: UNKNOWN_CHAIN });
      case 'request_late': {
        const lateMs = this.#chance.between(1_000, 400_000);
        this.#time.after(lateMs, () => this.#process(chain, token, 'duplicate', sentAt));
        return this.#nothing(sentAt, timeoutMs);
      }
      case 'provider_slow':
        await this.#time.sleep(60_000);
        break;
      default:
    }
    const done = this.#process(chain, token, 'keeper', sentAt);
    const answer = answerOf(done.reply);
    switch (fault) {
      case 'answer_lost':
        return this.#nothing(sentAt, timeoutMs);
      case 'server_error_after':
        return answerOf({
          status: this.#chance.pick([500, 502, 503, 504]),
          headers: HTML_TYPE,
          body: '<h1>Sorry</h1>',
        });
      case 'crash_after_processing':
        this.#crash(node, life);
        return NOTHING_ARRIVES;
      case 'answer_cut_early':
        return this.#cut(answer, 0);
      case 'answer_cut_late':
        return this.#deliver(to, chain, done.token, this.#cut(answer, keptBytes(done.entry, done.reply)));
      case 'answer_late':
        await this.#time.sleep(Math.min(timeoutMs - 1_000, this.#chance.between(5_000, 110_000)));
        break;
      case 'duplicate_delivery':
        return this.#twice(to, chain, token, sentAt, done, timeoutMs);
      default:
        await this.#time.sleep(this.#latencyMs());
    }
    return this.#deliver(to, chain, done.token, answer);
  }

  /** The second delivery comes a little later; one of the two answers arrives, mostly the first. */
  async #twice(
    to: Receiver,
    chain: ChainTruth,
    token: string,
    sentAt: number,
    first: { readonly token: TokenTruth | null; readonly reply: Reply },
    timeoutMs: number,
  ): Promise<Outcome> {
    const isSecondHeard = this.#chance.occurs(0.25);
    const gapMs = this.#chance.between(1, 3_000);
    if (!isSecondHeard) {
      this.#time.after(gapMs, () => this.#process(chain, token, 'duplicate', sentAt));
      await this.#time.sleep(this.#latencyMs());
      return this.#deliver(to, chain, first.token, answerOf(first.reply));
    }
    await this.#time.sleep(Math.min(gapMs, timeoutMs));
    const second = this.#process(chain, token, 'duplicate', sentAt);
    return this.#deliver(to, chain, second.token, answerOf(second.reply));
  }

  #process(chain: ChainTruth, token: string, by: 'keeper' | 'duplicate', sentAt: number) {
    const { entry, reply } = this.#upstream.exchange(token, by);
    const isNew = entry.reason === 'new' || entry.reason === 'fork' || entry.reason === 'replace';
    const made = isNew && entry.issued !== null ? chain.issued(entry.issued, token, entry.at, sentAt) : null;
    return { entry, reply, token: made };
  }

  #deliver(to: Receiver, chain: ChainTruth, token: TokenTruth | null, answer: HttpAnswer): HttpAnswer {
    if (!token || !to.life.isAlive) return answer;
    token.deliveredAt = this.#time.now();
    token.life = to.life;
    token.node = to.id;
    chain.arriving = token;
    return answer;
  }

  #cut(answer: HttpAnswer, keeps: number): HttpAnswer {
    const bytes = keeps === 0 ? Math.floor(this.#chance.share() * 60) : keeps;
    return { ...answer, body: answer.body.slice(0, bytes), complete: false };
  }

  /** A reset is heard at once, silence only when the time is over. */
  async #nothing(sentAt: number, timeoutMs: number): Promise<Lost> {
    if (this.#chance.occurs(0.7)) {
      await this.#time.sleep(this.#latencyMs());
      return NOTHING_ARRIVES;
    }
    await this.#time.sleep(Math.max(0, sentAt + timeoutMs - this.#time.now()));
    return { kind: 'lost', reason: 'no answer in time' };
  }

  #crash(node: SimNode, life: SimNode['life']): void {
    if (node.life === life) this.#hooks.crash(node);
  }

  #error(chain: ChainTruth): Reply {
    const status = this.#chance.pick([500, 502, 503, 429]);
    const isToWait = status === 429 || status === 503;
    const waitMs = isToWait ? this.#chance.between(1, 30) * 1_000 : 0;
    // Whoever is told to wait may not try meanwhile.
    chain.tried(this.#time.now()).to = this.#time.now() + waitMs;
    const retry = isToWait ? { 'retry-after': String(waitMs / 1_000) } : {};
    return { status, headers: { ...HTML_TYPE, ...retry }, body: '<html><body>Please try again later</body></html>' };
  }

  async #account(request: HttpRequest): Promise<HttpAnswer | Lost> {
    await this.#time.sleep(this.#latencyMs());
    if (this.isUnreachable) return NOTHING_ARRIVES;
    const token = (request.headers.authorization ?? request.headers.Authorization ?? '').slice('Bearer '.length);
    const works = this.#upstream.useAccessToken(token);
    return answerOf({
      status: works ? 200 : 401,
      headers: JSON_TYPE,
      body: works ? `{"sub":"${accountOf(token)}"}` : '{}',
    });
  }
}

const JSON_TYPE = { 'content-type': 'application/json' };
const HTML_TYPE = { 'content-type': 'text/html' };
const UNKNOWN_CHAIN = '{"error":"invalid_grant","error_description":"No such chain."}';

function answerOf({ status, headers, body }: Reply): HttpAnswer {
  return { kind: 'answer', status, headers, body: Buffer.from(body), complete: true };
}

/** As the keeper reads it: a server that answers 5xx may have made the exchange all the same. */
function isRefusal(outcome: Outcome): boolean {
  return outcome.kind === 'answer' && outcome.complete && outcome.status >= 400 && outcome.status < 500;
}

/** Bytes up to the end of the refresh token, and one more. */
function keptBytes(entry: Entry, reply: Reply): number {
  const { issued } = entry;
  return issued === null ? reply.body.length - 1 : reply.body.indexOf(issued) + issued.length + 1;
}

const TOKEN = 'refresh_token=';

/** The body is a form; `grant_type=refresh_token` ends otherwise. */
function tokenIn(body: string): string {
  const at = body.indexOf(TOKEN) + TOKEN.length;
  const end = body.indexOf('&', at);
  return decodeURIComponent(body.slice(at, end === -1 ? undefined : end));
}
