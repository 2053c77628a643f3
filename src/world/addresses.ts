/**
 * Which addresses requests may reach. Provider files and discovery documents name hosts, and a name can be made to lead
 * into the network of the keeper (server-side request forgery); so it is the address that is judged, never the name.
 */
import ipaddr from 'ipaddr.js';
import { EvergrantError } from '../core/errors.ts';

export type AddressCheck = (address: string) => string | null;

/** All global unicast addresses of IPv6 that are assigned so far (RFC 4291 section 2.4). */
const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR('2000::/3');

/**
 * A check that gives the reason why an address is refused, or null. Refused is everything but public unicast: private,
 * loopback, link-local (where clouds keep their metadata), unspecified, multicast, reserved, and IPv6 forms that carry
 * an IPv4 address (mapped, 6to4, NAT64, Teredo). `allowed` are networks in CIDR form that are let through all the same.
 * Throws `setting` for a network that cannot be read.
 */
export function publicAddresses(allowed: readonly string[]): AddressCheck {
  const networks = allowed.map(networkOf);
  return (text) => {
    if (!ipaddr.isValid(text)) return `${text} is not an address`;
    const address = ipaddr.parse(text);
    const range = rangeOf(address);
    if (range === null || networks.some((network) => contains(network, address))) return null;
    return `${text} is not a public address (${range})`;
  };
}

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** What keeps an address from being public; null for a public one. */
function rangeOf(address: Address): string | null {
  const range = address.range();
  if (range !== 'unicast') return range;
  return address instanceof ipaddr.IPv6 && !address.match(GLOBAL_UNICAST) ? 'unassigned' : null;
}

function networkOf(text: string): [Address, number] {
  try {
    return ipaddr.parseCIDR(text);
  } catch (cause) {
    throw new EvergrantError('setting', `allow-private-upstream: "${text}" is not a network.`, {
      cause,
      remedy: 'Give networks in CIDR form, as in 10.20.0.0/16 or fd00:1::/48.',
    });
  }
}

/** Also for an IPv4 address in its mapped form, which is the same host. */
function contains([network, bits]: [Address, number], address: Address): boolean {
  const plain = address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
  if (plain instanceof ipaddr.IPv4 && network instanceof ipaddr.IPv4) return plain.match(network, bits);
  return plain instanceof ipaddr.IPv6 && network instanceof ipaddr.IPv6 && plain.match(network, bits);
}
