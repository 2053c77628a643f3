/**
 * Where a request to the proxy goes: beneath one of the addresses of the provider's API, and nowhere else. What could be
 * read in two ways, here or behind, is refused rather than understood.
 */
import { EvergrantError } from '../core/errors.ts';
import type { GrantApi } from '../keeper/keeper.ts';
import { invalidRequest } from './problem.ts';

/** The parts of `/proxy/{grant}/{rest}?{query}`, as they were sent. */
export interface ProxyAddress {
  readonly grant: string;
  /** Empty, or begins with a slash. */
  readonly rest: string;
  /** Empty, or begins with a question mark. */
  readonly query: string;
}

export interface Target {
  readonly origin: string;
  /** Path and query. */
  readonly path: string;
}

const ADDRESS = /^\/proxy\/([A-Za-z0-9][A-Za-z0-9._-]{0,99})(\/[^?#]*)?(\?[^#]*)?$/;

/** Reads the address in the very form in which it came. An absolute one (RFC 9112 section 3.2.2) is none of ours. */
export function readAddress(url: string): ProxyAddress {
  const [, grant, rest = '', query = ''] = ADDRESS.exec(url) ?? [];
  if (grant === undefined) throw refused('it is not of the form /proxy/{grant}/{path}');
  const fault = faultOf(rest) ?? (NOT_VISIBLE.test(query) ? 'its query has characters that must be encoded' : null);
  if (fault !== null) throw refused(fault);
  return { grant, rest, query };
}

const NOT_VISIBLE = /[^\x21-\x7e]/;
/** What RFC 3986 leaves no place for in a path, backslashes among them. */
const NOT_OF_A_PATH = /[^\x21-\x7e]|[\\"<>^`{|}]/;
const BROKEN_ESCAPE = /%(?![0-9a-f]{2})/i;
/** Slash, backslash, percent before one of these or a dot however often it is encoded, and control characters. */
const ESCAPED_TRICK = /%(?:2f|5c|25(?:25)*(?:2f|5c|2e)|[01][0-9a-f]|7f)/i;
/** Some take what comes after a semicolon for a parameter of the segment. */
const DOT_SEGMENT = /\/(?:\.|%2e){1,2}(?:(?:;|%3b)[^/]*)?(?=\/|$)/i;

function faultOf(rest: string): string | null {
  if (NOT_OF_A_PATH.test(rest)) return 'its path has characters that must be encoded';
  if (rest.includes('//')) return 'its path has an empty segment';
  if (rest.includes('%')) {
    if (BROKEN_ESCAPE.test(rest)) return 'its path has a percent sign that encodes nothing';
    if (ESCAPED_TRICK.test(rest)) return 'its path has an encoded slash, backslash or control character';
  }
  return DOT_SEGMENT.test(rest) ? 'its path has a dot segment' : null;
}

function refused(fault: string): EvergrantError {
  return invalidRequest(
    `The address cannot be passed on: ${fault}.`,
    'Write the path as the documentation of the API has it, without "..", "//" and encoded slashes.',
  );
}

/** The address at the provider. `wished` names one of several addresses of its API. */
export function targetOf(api: GrantApi, { rest, query }: ProxyAddress, wished: string | undefined): Target {
  const base = baseOf(api, wished);
  const path = base.path + rest;
  const url = URL.parse(base.origin + path);
  // Whoever reads it next must come to the same place.
  if (url?.origin !== base.origin || url.pathname !== (path || '/')) throw refused('it changes when it is read');
  return { origin: base.origin, path: (path || '/') + query };
}

function baseOf(api: GrantApi, wished: string | undefined): Target {
  const url = wished === undefined ? api.baseUrls[0] : api.baseUrls.find((one) => one === wished);
  if (url !== undefined) return readBase(url);
  if (wished !== undefined && api.baseUrls.length > 0) {
    throw invalidRequest(
      `Evergrant-Base-Url names no address of the API of ${api.providerName}.`,
      `It must be one of: ${api.baseUrls.join(', ')}.`,
    );
  }
  throw new EvergrantError('not_found', `The file of ${api.providerName} names no address of its API.`, {
    remedy:
      'Add api_base_urls to a provider file of your own (--providers), or ask for a token and call the API yourself.',
    grant: api.grant,
  });
}

const bases = new Map<string, Target>();

/** There are as many as apps have addresses. */
function readBase(url: string): Target {
  const known = bases.get(url);
  if (known) return known;
  const { origin, pathname } = new URL(url);
  const base = { origin, path: pathname.replace(/\/+$/, '') };
  bases.set(url, base);
  return base;
}

/** The way through the proxy to an address beneath the API; null for any other. */
export function proxyPathOf(api: GrantApi, grant: string, url: URL): string | null {
  const base = api.baseUrls.map(readBase).find((one) => isBeneath(url, one));
  return base ? `/proxy/${grant}${url.pathname.slice(base.path.length)}${url.search}${url.hash}` : null;
}

function isBeneath(url: URL, base: Target): boolean {
  return url.origin === base.origin && `${url.pathname}/`.startsWith(`${base.path}/`);
}
