/**
 * The relay over undici, with connections that are kept for the next request. Each was opened to an address that was
 * checked, as those of `network.ts` are; providers that may be on this machine have connections of their own, so that
 * nobody else's request can travel on them.
 */
import { AssertionError } from 'node:assert';
import type { Writable } from 'node:stream';
import { Agent, type buildConnector, type Dispatcher, errors } from 'undici';
import type { Lost, NotSent, Reach } from '../ports/network.ts';
import type { Relay, RelayAnswer, RelayBody, RelayCaller, RelayRequest } from '../ports/relay.ts';
import { connect, guard, type NetworkOptions } from './guarded-connection.ts';

const CONNECT_TIMEOUT_MS = 10_000;
/** Reports of accounting systems take their time. */
const HEAD_TIMEOUT_MS = 120_000;
/** Between two pieces of an answer. */
const SILENCE_TIMEOUT_MS = 120_000;
const MOST_CONNECTIONS_AN_ORIGIN = 128;

export function relay(options: NetworkOptions = {}): Relay {
  const checked = guard(options);
  const agents: Readonly<Record<Reach, Agent>> = {
    public: agent((origin) => connect(checked, origin, 'public', CONNECT_TIMEOUT_MS)),
    local: agent((origin) => connect(checked, origin, 'local', CONNECT_TIMEOUT_MS)),
  };
  return {
    send: (request) => send(agents[request.reach], request),
    async close() {
      await Promise.all(Object.values(agents).map((one) => one.destroy()));
    },
  };
}

type Opened = Awaited<ReturnType<typeof connect>>;

function agent(open: (origin: string) => Promise<Opened>): Agent {
  const connector: buildConnector.connector = ({ protocol, host }, callback) => {
    open(`${protocol}//${host}`).then(
      ({ socket }) => callback(null, socket),
      (cause: unknown) => callback(new NotConnected(cause), null),
    );
  };
  return new Agent({
    connect: connector,
    connections: MOST_CONNECTIONS_AN_ORIGIN,
    headersTimeout: HEAD_TIMEOUT_MS,
    bodyTimeout: SILENCE_TIMEOUT_MS,
    allowH2: false,
  });
}

/** Tells a request that never left from one whose fate is not known. */
class NotConnected extends Error {
  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.name = 'NotConnected';
  }
}

/** So much of an answer is read before somebody takes it. */
const MOST_WAITING_BYTES = 65_536;

function send(through: Agent, request: RelayRequest): Promise<RelayAnswer | NotSent | Lost> {
  const { method, origin, path, headers, body, caller } = request;
  return new Promise((settle) => {
    const answer = new Answer(caller, settle);
    try {
      through.dispatch({ method, origin, path, headers: headers as Record<string, string>, body }, answer);
    } catch (cause) {
      settle(failure(cause));
    }
  });
}

/**
 * One answer on its way. waiting (nothing yet) → begun (its head is here, and the little of its body that came with it)
 * → flowing (somebody takes it) → over. Most answers are whole before anybody takes them, and leave in one piece.
 */
class Answer implements Dispatcher.DispatchHandler, RelayBody {
  readonly #caller: RelayCaller;
  readonly #settle: (result: RelayAnswer | NotSent | Lost) => void;
  #controller: Dispatcher.DispatchController | null = null;
  #begun = false;
  #chunks: Buffer[] = [];
  #waitingBytes = 0;
  #over: 'whole' | 'broken' | null = null;
  #to: Writable | null = null;
  #watcher: Parameters<RelayBody['watch']>[0] | null = null;

  constructor(caller: RelayCaller, settle: (result: RelayAnswer | NotSent | Lost) => void) {
    this.#caller = caller;
    this.#settle = settle;
    caller.onGone = () => this.discard();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#caller.isGone) this.discard();
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: RelayAnswer['headers']): void {
    if (status < 200) return;
    this.#begun = true;
    this.#settle({ kind: 'answer', status, headers, body: this });
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#to) {
      this.#pass(this.#to, chunk);
      return;
    }
    this.#chunks.push(chunk);
    this.#waitingBytes += chunk.length;
    if (this.#waitingBytes > MOST_WAITING_BYTES) controller.pause();
  }

  onResponseEnd(): void {
    this.#over = 'whole';
    if (!this.#to) return;
    this.#watcher?.end();
    this.#to.end();
  }

  onResponseError(_: Dispatcher.DispatchController | null, cause: Error): void {
    this.#over ??= 'broken';
    if (!this.#begun) this.#settle(failure(cause));
    else this.#to?.destroy();
  }

  pipeTo(to: Writable): void {
    this.#to = to;
    const [last, ...others] = this.#chunks.toReversed();
    this.#chunks = [];
    for (const chunk of others.toReversed()) this.#pass(to, chunk);
    if (this.#over === 'broken') to.destroy();
    else if (this.#over === 'whole') this.#endWith(to, last);
    else {
      if (last) this.#pass(to, last);
      this.#controller?.resume();
    }
  }

  watch(watcher: Parameters<RelayBody['watch']>[0]): void {
    this.#watcher = watcher;
  }

  discard(): void {
    this.#chunks = [];
    if (this.#over === null) this.#controller?.abort(new Error('the answer is not wanted any more'));
  }

  #endWith(to: Writable, last: Buffer | undefined): void {
    if (last) this.#watcher?.chunk(last);
    this.#watcher?.end();
    to.end(last);
  }

  #pass(to: Writable, chunk: Buffer): void {
    this.#watcher?.chunk(chunk);
    if (to.write(chunk) || this.#over !== null) return;
    this.#controller?.pause();
    to.once('drain', () => this.#controller?.resume());
  }
}

function failure(cause: unknown): NotSent | Lost {
  // What the library takes for impossible, a strange server does.
  const isStrange = cause instanceof AssertionError;
  const reason = isStrange ? 'it answers in no way of HTTP' : cause instanceof Error ? cause.message : String(cause);
  const neverLeft = cause instanceof NotConnected || cause instanceof errors.InvalidArgumentError;
  return { kind: neverLeft ? 'not_sent' : 'lost', reason };
}
