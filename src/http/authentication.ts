/** Who asks: `Authorization: Bearer KEY`, and nothing else. A cookie never opens an endpoint of the API. */
import type { FastifyRequest } from 'fastify';
import { type Caller, may, type Scope } from '../access/api-keys.ts';
import { EvergrantError } from '../core/errors.ts';
import type { HttpParts } from './parts.ts';

const LONGEST_KEY = 512;

/** The key in an Authorization header; null where there is none. The scheme's case does not matter (RFC 9110). */
export function bearerText(authorization: string | undefined): string | null {
  if (authorization === undefined || authorization.length > LONGEST_KEY) return null;
  if (authorization.startsWith('Bearer ')) return authorization.slice(7).trim() || null;
  return /^bearer +(\S+) *$/i.exec(authorization)?.[1] ?? null;
}

/** Lets a request pass whose key may do what needs this scope. */
export async function authenticate(parts: HttpParts, request: FastifyRequest, scope: Scope): Promise<Caller> {
  const text = bearerText(request.headers.authorization);
  const caller = text === null ? null : (parts.apiKeys.recall(text) ?? (await parts.apiKeys.verify(text)));
  if (!caller) throw unauthorized(text !== null);
  if (!may(caller, scope)) throw forbidden(scope);
  return caller;
}

function unauthorized(wasGiven: boolean): EvergrantError {
  const detail = wasGiven ? 'The API key is not valid, or was removed.' : 'No API key was sent.';
  return new EvergrantError('unauthorized', detail, {
    remedy: 'Send the header Authorization: Bearer KEY. The admin key lies in admin.key in the data folder.',
  });
}

function forbidden(scope: Scope): EvergrantError {
  return new EvergrantError('forbidden', `This API key does not have the scope "${scope}".`, {
    remedy: 'Use a key that has it, or make one: evergrant api-keys add',
  });
}
