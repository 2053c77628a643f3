/**
 * The relay over undici, with connections that are kept for the next request. Each was opened to an address that was
 * checked, as those of `network.ts` are; providers that may be on this machine have connections of their own, so that
 * nobody else's request can travel on them.
 */
import { Agent, type buildConnector, errors } from 'undici';
import type { Lost, NotSent, Reach } from '../ports/network.ts';
import type { Relay, RelayAnswer, RelayRequest } from '../ports/relay.ts';
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

async function send(through: Agent, request: RelayRequest): Promise<RelayAnswer | NotSent | Lost> {
  const { method, origin, path, headers, body, signal } = request;
  try {
    const {
      statusCode,
      headers: said,
      body: answer,
    } = await through.request({
      method,
      origin,
      path,
      headers: headers as Record<string, string>,
      body,
      signal,
    });
    // One that is thrown away is no failure of anybody; who reads it hears of its end all the same.
    answer.on('error', () => {});
    return { kind: 'answer', status: statusCode, headers: said, body: answer };
  } catch (cause) {
    return failure(cause);
  }
}

function failure(cause: unknown): NotSent | Lost {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const neverLeft = cause instanceof NotConnected || cause instanceof errors.InvalidArgumentError;
  return { kind: neverLeft ? 'not_sent' : 'lost', reason };
}
