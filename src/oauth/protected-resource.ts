/**
 * What a protected resource says of itself (RFC 9728): which authorization servers give tokens for it. MCP servers are
 * found this way.
 */
import { EvergrantError } from '../core/errors.ts';
import { parseObject } from './json.ts';

/** Where the document of a resource lies: the well-known part stands before its path (RFC 9728 section 3.1). */
export function protectedResourceUrls(resource: string): readonly string[] {
  const { origin, pathname } = new URL(resource);
  const path = pathname.replace(/\/$/, '');
  const well = `${origin}/.well-known/oauth-protected-resource`;
  // Some servers have one document for all their paths.
  return [...new Set([`${well}${path}`, well])];
}

/**
 * The first authorization server of the resource. Throws `upstream_refused` where the document is about another resource
 * (RFC 9728 section 3.3: it must not be used then), or names no server.
 */
export function readProtectedResource(body: Uint8Array, resource: string): string {
  const document = parseObject(new TextDecoder().decode(body));
  if (!document) throw notMetadata(resource, 'it is not a JSON object');
  if (!isAbout(document.resource, resource)) {
    throw notMetadata(resource, `it is about ${JSON.stringify(document.resource)}`);
  }
  const servers: unknown = document.authorization_servers;
  const [first]: readonly unknown[] = Array.isArray(servers) ? servers : [];
  if (typeof first !== 'string') throw notMetadata(resource, 'it names no authorization server');
  return first;
}

/** A slash at the end of a bare origin makes no difference (RFC 3986 section 6.2.3). */
function isAbout(named: unknown, resource: string): boolean {
  return typeof named === 'string' && URL.canParse(named) && new URL(named).href === new URL(resource).href;
}

function notMetadata(resource: string, reason: string): EvergrantError {
  return new EvergrantError('upstream_refused', `What ${resource} says of itself cannot be used: ${reason}.`, {
    remedy: 'Give the address of the resource exactly as its own document spells it.',
  });
}
