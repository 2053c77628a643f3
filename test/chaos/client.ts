/** A client that never stops asking for a token, uses each one that is new, and remembers what it was told. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ERRORS } from '../../src/core/errors.ts';
import { fingerprint } from '../../src/emulator.ts';
import { type Answer, CALL_MS, call } from './api.ts';
import type { RealNode } from './real-node.ts';
import type { Ring, World } from './world.ts';

/** Seconds that it is ready to wait. */
const WAIT = 1;
const PAUSE_MS = 400;
const GONE_HEARD_MS = 1_000;
/** What clients are told where they can do something about it; nothing else may come. */
const MAY_COME: ReadonlySet<string> = new Set([
  'authorization_required',
  'in_doubt',
  'too_early',
  'upstream_unavailable',
  'recovering',
  'held',
  'shutting_down',
  'storage_unavailable',
]);

/** A token that it was given. */
export interface Served {
  /** As in the provider's ledger. */
  readonly fingerprint: string;
  readonly node: Pick<RealNode, 'name'>;
  /** By this process's own clock. */
  readonly askedMs: number;
  readonly answeredMs: number;
  /** By the clock of the world, as everybody had heard of it when it asked, and now. */
  readonly askedAt: number;
  readonly at: number;
  /** Whether the API took it: it is used once, when it is new. */
  readonly isTaken: boolean | null;
}

/** That a node answered, by the clock of the world and by this process's own. */
export interface Heard {
  readonly at: number;
  readonly ms: number;
}

export class Client {
  readonly ring: Ring;
  readonly served: Served[] = [];
  readonly done: Promise<void>;
  readonly heard: Heard[] = [];
  readonly tokens = new Set<string>();
  calls = 0;
  refusals = 0;
  /** Connections that broke because their node did. */
  broken = 0;
  readonly #world: World;
  #awake = new AbortController();
  #waiting: { readonly since: number; readonly resolve: (answer: Answer) => void }[] = [];

  constructor(world: World, ring: Ring) {
    this.#world = world;
    this.ring = ring;
    this.done = this.#run();
  }

  /** Asks at once. */
  wake(): void {
    this.#awake.abort();
  }

  /** The next answer to something that it asks from now on. */
  next(): Promise<Answer> {
    const since = performance.now();
    this.wake();
    return new Promise((resolve) => {
      this.#waiting.push({ since, resolve });
    });
  }

  async #run(): Promise<void> {
    for (let turn = 0; !this.#world.isOver; turn++) {
      const nodes = this.#world.nodes.filter((one) => one.isUp);
      const node = nodes[(turn + this.ring.alias.length) % Math.max(1, nodes.length)];
      if (node) await this.#ask(node);
      const awake = this.#awake;
      await sleep(PAUSE_MS, undefined, { signal: awake.signal }).catch(() => undefined);
      if (awake.signal.aborted && this.#awake === awake) this.#awake = new AbortController();
    }
  }

  async #ask(node: RealNode): Promise<void> {
    const api = this.#world.api(node);
    if (!api) return;
    const asked = { askedMs: performance.now(), askedAt: this.#world.time.heardMs };
    const { askedMs } = asked;
    const { run } = node;
    this.calls++;
    try {
      const answer = await call(api, 'POST', `/v1/grants/${this.ring.alias}/token`, { wait: WAIT });
      await this.#hear(answer, node, asked);
    } catch (error) {
      const tookMs = performance.now() - askedMs;
      // That a process is gone may be heard later than that its connections are.
      await sleep(GONE_HEARD_MS);
      const isHarmed = !node.isUp || node.run !== run || this.#world.wasAway(node, askedMs);
      if (isHarmed) this.broken++;
      else if (tookMs >= CALL_MS) this.#wrong(`a call to ${node.name} was not answered within ${CALL_MS / 1000} s`);
      else this.#wrong(`a call to ${node.name}, which was well, broke: ${reasonOf(error)}`);
    }
  }

  async #hear(
    answer: Answer,
    node: RealNode,
    asked: { readonly askedMs: number; readonly askedAt: number },
  ): Promise<void> {
    const answeredMs = performance.now();
    const { askedMs } = asked;
    const { status, body } = answer;
    const at = this.#world.time.nowMs;
    this.heard.push({ at, ms: answeredMs });
    if (status === 200) {
      const token = body.access_token;
      const isTaken = this.tokens.has(token) ? null : await this.ring.provider.accepts(token);
      this.tokens.add(token);
      this.served.push({ fingerprint: fingerprint(token), node, ...asked, answeredMs, at, isTaken });
    } else {
      this.refusals++;
      const isKnown = MAY_COME.has(body.code) && ERRORS[body.code].status === status;
      if (!isKnown) this.#wrong(`a client was told ${status} ${JSON.stringify(body)}`);
      else if (status === 503 && !answer.retryAfter) this.#wrong(`503 ${body.code} names no time to ask again`);
    }
    const heard = this.#waiting.filter((one) => one.since <= askedMs);
    this.#waiting = this.#waiting.filter((one) => one.since > askedMs);
    for (const { resolve } of heard) resolve(answer);
  }

  #wrong(what: string): void {
    this.#world.wrongs.push(`${this.ring.alias}: ${what}`);
  }
}

function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? ` (${error.cause.message})` : '';
  return `${String(error)}${cause}`;
}
