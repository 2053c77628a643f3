/**
 * Connections to addresses that were checked. A name is looked up once, every address it leads to is judged, and one of
 * these very addresses is connected to: no second look-up can lead elsewhere.
 */
import { lookup } from 'node:dns/promises';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Reach } from '../ports/network.ts';
import { type AddressCheck, publicAddresses } from './addresses.ts';

/** What one of several addresses of a name gets at least, before the next is tried. */
const MIN_ATTEMPT_MS = 1_000;

export interface NetworkOptions {
  /** Networks (CIDR) that may be reached although they are not public: setting allow-private-upstream. */
  readonly allowPrivate?: readonly string[];
  /** Gives the addresses of a host name; the machine's resolver if left out. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
  /** PEM of the authorities to trust instead of the usual ones. */
  readonly ca?: string;
}

export interface Guard {
  readonly check: AddressCheck;
  readonly resolve: (host: string) => Promise<readonly string[]>;
  readonly ca: string | undefined;
}

export function guard(options: NetworkOptions): Guard {
  return {
    check: publicAddresses(options.allowPrivate ?? []),
    resolve: options.resolve ?? resolveByMachine,
    ca: options.ca,
  };
}

/**
 * Whoever asks for a name that is being looked up waits for that. Node looks up two names at a time (libuv): where the
 * servers of one say nothing, all who want it would keep everybody else from every other.
 */
export function together(resolve: Guard['resolve']): Guard['resolve'] {
  const underWay = new Map<string, ReturnType<typeof resolve>>();
  return (host) => {
    const found = underWay.get(host) ?? resolve(host).finally(() => underWay.delete(host));
    underWay.set(host, found);
    return found;
  };
}

/** One for all connections of this process. */
const resolveByMachine = together(async (host) => {
  const found = await lookup(host, { all: true });
  return found.map(({ address }) => address);
});

export interface Target {
  readonly origin: string;
  /** Without the brackets of an IPv6 literal. */
  readonly host: string;
  readonly port: number;
  readonly isTls: boolean;
}

function targetOf(url: string, reach: Reach): Target {
  const { origin, hostname, port, protocol } = new URL(url);
  const isTls = protocol === 'https:';
  if (!isTls && protocol !== 'http:') throw new Error(`${protocol} is not supported`);
  if (!isTls && reach !== 'local') throw new Error('only https is allowed');
  return { origin, host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) || (isTls ? 443 : 80), isTls };
}

/** Connects to one of the addresses that were checked. Rejects with the reason why not. */
export async function connect(parts: Guard, url: string, reach: Reach, timeoutMs: number) {
  const deadline = performance.now() + timeoutMs;
  const target = targetOf(url, reach);
  const addresses = await addressesOf(parts, target.host, reach, timeoutMs);
  let last: unknown = new Error(`${target.host} has no address`);
  for (const [i, address] of addresses.entries()) {
    const left = deadline - performance.now();
    if (left <= 0) break;
    const share = Math.max(MIN_ATTEMPT_MS, left / (addresses.length - i));
    try {
      return { target, socket: await connectTo(parts, target, address, Math.min(share, left)) };
    } catch (cause) {
      last = cause;
    }
  }
  throw last;
}

/** Throws where any of the addresses is refused: a name that leads to both kinds is not to be trusted. */
async function addressesOf(parts: Guard, host: string, reach: Reach, timeoutMs: number): Promise<readonly string[]> {
  const addresses = isIP(host) ? [host] : await within(timeoutMs, `looking up ${host}`, parts.resolve(host));
  const refused = reach === 'local' ? [] : addresses.flatMap((address) => parts.check(address) ?? []);
  if (refused[0] !== undefined) throw new Error(refused[0]);
  return addresses;
}

function connectTo(parts: Guard, target: Target, address: string, timeoutMs: number): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const socket = target.isTls
    ? connectTls({
        host: address,
        port: target.port,
        // The name in the certificate is the host's; an address has none to send (RFC 6066 section 3).
        ...(!isIP(target.host) && { servername: target.host }),
        ...(parts.ca !== undefined && { ca: parts.ca }),
        ALPNProtocols: ['http/1.1'],
      })
    : connectTcp({ host: address, port: target.port });
  const timer = setTimeout(
    () => socket.destroy(new Error(`no connection within ${timeoutMs.toFixed(0)} ms`)),
    timeoutMs,
  );
  const closed = (): void => reject(new Error('the connection was closed while it was opened'));
  socket.once('error', reject).once('close', closed);
  socket.once(target.isTls ? 'secureConnect' : 'connect', () => {
    // Its end concerns whoever has it now: an error made for it would cost more than the closing.
    socket.off('close', closed);
    resolve(socket);
  });
  return promise.finally(() => clearTimeout(timer));
}

async function within<T>(timeoutMs: number, what: string, work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`${what} took longer than ${timeoutMs} ms`)), timeoutMs);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}
