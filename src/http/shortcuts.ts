/**
 * What is asked for all the time, the token of a grant, is answered before the framework sees the request, where memory
 * has the answer: the framework would cost several times as much. Whatever is not so, or goes wrong here, goes on to the
 * framework as it came.
 */
import type { IncomingHttpHeaders, IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { isForm } from '../oauth/form.ts';
import { isEncoded } from './content-coding.ts';
import { serveOAuthToken } from './oauth-endpoints.ts';
import type { HttpParts } from './parts.ts';
import { serveToken } from './tokens.ts';

/** A listener that asks the framework only where it must. */
export function withShortcuts(parts: HttpParts, framework: RequestListener): RequestListener {
  if (parts.surface !== 'all' && parts.surface !== 'no-proxy') return framework;
  return function listener(this: Server, request, response) {
    const onwards = () => framework(request, response);
    // While it closes, the framework tells each connection so.
    if (!this.listening || !namesOneHost(request.headers)) onwards();
    else if (request.url === '/oauth/token') withForm(parts, request, response, onwards);
    else if (!isDone(() => serveToken(parts, request, response))) onwards();
  };
}

/** Of several, Node gives all, with commas. */
export function namesOneHost({ host }: IncomingHttpHeaders): boolean {
  return !host?.includes(',');
}

/** A form that comes in one piece, as a client's does. */
function withForm(parts: HttpParts, request: IncomingMessage, response: ServerResponse, onwards: () => void): void {
  const length = Number(request.headers['content-length'] ?? 0);
  const { method, headers } = request;
  if (method !== 'POST' || length === 0 || !isForm(headers['content-type']) || isEncoded(headers)) {
    onwards();
    return;
  }
  request.once('data', (form: Buffer) => {
    if (form.length === length && isDone(() => serveOAuthToken(parts, request, response, form))) return;
    request.pause();
    request.unshift(form);
    onwards();
  });
}

/** The framework has an answer also for a slip of ours. */
function isDone(serve: () => boolean): boolean {
  try {
    return serve();
  } catch {
    return false;
  }
}
