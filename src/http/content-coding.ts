/**
 * Bodies are read as they are: one that is compressed or otherwise encoded is refused, whoever would have read it as plain
 * (RFC 9110 section 8.4). Only the proxy hands on what it does not read.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { EvergrantError } from '../core/errors.ts';
import type { Routes } from './parts.ts';

/** `identity` says that there is none; some send it although it belongs elsewhere (RFC 9110 section 12.5.3). */
export function isEncoded({ 'content-encoding': codings }: IncomingHttpHeaders): boolean {
  return codings?.split(',').some((coding) => !['', 'identity'].includes(coding.trim().toLowerCase())) ?? false;
}

export function refuseEncoded(routes: Routes): void {
  routes.addHook('preParsing', (request, reply, payload, done) => {
    const { headers, method, is404, routeOptions } = request;
    const isRead = hasBody(headers) && !is404 && method !== 'GET' && method !== 'HEAD';
    if (!isRead || routeOptions.config.streamsBody || !isEncoded(headers)) {
      done(null, payload);
      return;
    }
    // RFC 9110 section 15.5.16: what would have been taken.
    reply.header('accept-encoding', 'identity');
    done(encodedBody());
  });
}

function hasBody(headers: IncomingHttpHeaders): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
}

function encodedBody(): EvergrantError {
  return new EvergrantError('unsupported_media_type', 'The body is compressed or otherwise encoded.', {
    remedy: 'Send it as it is, without the header Content-Encoding.',
  });
}
