/**
 * Where an answer of a provider leads the caller: `Location`, and the pages before and after one (`Link`). What lies
 * beneath the API leads through the proxy again. Everything else is written out with its host, for what is relative to
 * the provider must not be read as relative to Evergrant: a caller who follows it would bring its key to an address here
 * that the provider has chosen. What names Evergrant itself is left out for the same reason.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { GrantApi } from '../keeper/keeper.ts';
import { type ProxyAddress, proxyPathOf, type Target } from './proxy-target.ts';

export interface Here {
  readonly api: GrantApi;
  readonly address: ProxyAddress;
  readonly target: Target;
  /** Hosts, with their ports, by which the caller may know us. */
  readonly ownHosts: readonly string[];
}

/** Null: nowhere. */
export function locationFor(location: string, here: Here): string | null {
  const url = urlOf(location, here);
  if (!url) return null;
  const through = proxyPathOf(here.api, here.address.grant, url);
  if (through !== null) return through;
  return here.ownHosts.includes(url.host) ? null : url.href;
}

/** By which callers page through a list (RFC 8288). Other relations make a browser load something. */
const PAGES: ReadonlySet<string> = new Set(['next', 'prev', 'previous', 'first', 'last', 'self', 'up', 'collection']);
const LINK = /<([^<>]*)>((?:\s*;\s*[\w!#$&+.^`|~*-]+(?:\s*=\s*(?:"[^"\\]*"|[^\s",;<>]*))?)*)\s*(?:,|$)/g;
const RELATION = /;\s*rel\s*=\s*(?:"([^"]*)"|([^\s",;]+))/i;

/** The links to pages beneath the API, with the whole address of the proxy where that is known; null where there is none. */
export function linkFor(link: string, here: Here, publicUrl: string): string | null {
  const pages: string[] = [];
  for (const [, address = '', parameters = ''] of link.matchAll(LINK)) {
    const [, quoted, plain = ''] = RELATION.exec(parameters) ?? [];
    const relation = (quoted ?? plain).toLowerCase();
    const url = PAGES.has(relation) ? urlOf(address, here) : null;
    const through = url && proxyPathOf(here.api, here.address.grant, url);
    if (through !== null) pages.push(`<${publicUrl}${through}>; rel="${relation}"`);
  }
  return pages.length > 0 ? pages.join(', ') : null;
}

function urlOf(text: string, { target }: Here): URL | null {
  return URL.parse(text, target.origin + target.path);
}

/** Our own, and that by which this caller came. */
export function ownHosts({ host }: IncomingHttpHeaders, publicHost: string): readonly string[] {
  return host === undefined ? [publicHost] : [publicHost, host.toLowerCase()];
}
