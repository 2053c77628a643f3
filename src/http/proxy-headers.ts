/**
 * Which headers pass the proxy. Towards the provider: what the request says, without anything that identifies the caller
 * to Evergrant, belongs to one connection only, or could make somebody behind read another request than this one. Back:
 * what the answer says, without anything that could act on Evergrant's own origin.
 */
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';

/** RFC 9110 section 7.6.1, and what else concerns one connection alone. */
const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
];

const NOT_SENT: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  // Made anew.
  'host',
  'content-length',
  'expect',
  // Who asks is known to Evergrant alone.
  'authorization',
  'cookie',
  'cookie2',
  'x-vault-token',
  'dpop',
  // Where it comes from is nobody's business there, and could be believed.
  'forwarded',
  'via',
  'from',
  'origin',
  'referer',
  'x-real-ip',
  'x-client-ip',
  'x-cluster-client-ip',
  'true-client-ip',
  'x-originating-ip',
  'x-remote-ip',
  'x-remote-addr',
  'x-proxyuser-ip',
  'x-envoy-external-address',
  'cf-connecting-ip',
  'fastly-client-ip',
  // Another method or address than the one that was judged here.
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-original-url',
  'x-rewrite-url',
  'x-override-url',
  'x-proxy-url',
  'x-original-host',
  'x-host',
  'x-http-host-override',
  'x-envoy-original-path',
  'x-envoy-original-host',
  // Programs that are started for a request take it for the address of their proxy.
  'proxy',
]);

const NOT_SENT_PREFIXES = ['x-forwarded-', 'sec-', 'access-control-request-', 'proxy-', 'evergrant-'];

const PLAIN = /^[a-z0-9-]+$/;

/** `proof` is what the provider wants, and where. */
export function requestHeaders(
  sent: IncomingHttpHeaders,
  proof: { readonly header: string; readonly value: string },
): Record<string, string> {
  const named = namedByConnection(sent.connection);
  const headers: Record<string, string> = {};
  for (const name in sent) {
    const value = sent[name];
    // Many programs read `_` as `-`, some every sign.
    const read = PLAIN.test(name) ? name : name.replaceAll(/[^a-z0-9]/g, '-');
    if (typeof value !== 'string' || NOT_SENT.has(read) || named?.has(name)) continue;
    if (NOT_SENT_PREFIXES.some((prefix) => read.startsWith(prefix))) continue;
    headers[name] = value;
  }
  headers[proof.header] = proof.value;
  return headers;
}

/** Headers that the sender calls hop-by-hop. Taken away before anything is added, so that nothing of ours is named. */
function namedByConnection(connection: string | undefined): ReadonlySet<string> | null {
  if (connection === undefined || connection === 'keep-alive' || connection === 'close') return null;
  return new Set(connection.toLowerCase().split(/[\s,]+/));
}

const NOT_RETURNED: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  'set-cookie',
  'set-cookie2',
  // Would hold for all of Evergrant's origin.
  'accept-ch',
  'alt-svc',
  'clear-site-data',
  'expect-ct',
  'nel',
  'origin-agent-cluster',
  'public-key-pins',
  'report-to',
  'reporting-endpoints',
  'service-worker-allowed',
  'set-login',
  'strict-transport-security',
  'use-as-dictionary',
  // Would be obeyed by a server in front of Evergrant: it reads a file of its own, or keeps what belongs to one grant.
  'x-sendfile',
  'x-lighttpd-send-file',
  'x-lighttpd-send-tempfile',
  'x-litespeed-location',
  'cdn-cache-control',
  'surrogate-control',
  'edge-control',
  // Set below.
  'content-security-policy',
  'content-security-policy-report-only',
  'cross-origin-embedder-policy',
  'cross-origin-opener-policy',
  'cross-origin-resource-policy',
  'referrer-policy',
  'x-content-type-options',
  'x-frame-options',
  // Leads or loads something else; of the first two, `proxy-links.ts` lets through what is harmless.
  'link',
  'location',
  'refresh',
  'sourcemap',
  'speculation-rules',
  'timing-allow-origin',
]);

const NOT_RETURNED_PREFIXES = ['access-control-', 'proxy-', 'x-accel-'];
const NOT_RETURNED_END = '-cdn-cache-control';

/** A page or script that a provider gives must not act in Evergrant's name. */
const SANDBOX = {
  'content-security-policy': "sandbox; default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  /** So that a caller can tell a refusal of the provider from one of Evergrant. */
  'evergrant-from': 'provider',
};

export type AnswerHeaders = Readonly<Record<string, string | string[] | undefined>>;

export function answerHeaders(said: AnswerHeaders): OutgoingHttpHeaders {
  const named = namedByConnection(textOf(said.connection));
  const headers: OutgoingHttpHeaders = {};
  for (const name in said) {
    if (NOT_RETURNED.has(name) || named?.has(name)) continue;
    if (name.endsWith(NOT_RETURNED_END) || NOT_RETURNED_PREFIXES.some((prefix) => name.startsWith(prefix))) continue;
    headers[name] = said[name] as string;
  }
  headers['cache-control'] = privateOnly(textOf(said['cache-control']));
  return Object.assign(headers, SANDBOX);
}

/** A cache between Evergrant and the caller knows nothing of keys and grants, so it may keep nothing. */
function privateOnly(cacheControl: string | undefined): string {
  if (cacheControl === undefined) return 'no-store';
  const parts = cacheControl.split(',').map((part) => part.trim());
  const kept = parts.filter((part) => !/^(public|private|s-maxage|proxy-revalidate)\b/i.test(part));
  return ['private', ...kept].join(', ');
}

export function textOf(value: string | string[] | undefined): string | undefined {
  return typeof value === 'object' ? value.join(', ') : value;
}
