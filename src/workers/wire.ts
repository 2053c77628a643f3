/**
 * Values as they cross between the processes of one server. What is plain crosses as it is; secrets and errors would
 * arrive as empty shells, so they are written out here and made anew there. Whatever is written out is a `Map` with one
 * entry: no plain value is one, so nothing that somebody sent can be taken for a secret or an error.
 */
import { EvergrantError } from '../core/errors.ts';
import { Secret, type SecretKind } from '../core/secret.ts';
import { ErrorForClient } from '../issuer/authorization-request.ts';
import { OAuthError } from '../oauth/oauth-error.ts';
import { StoreFailure } from '../ports/store.ts';

/** Of errors that caused each other. */
const MOST_CAUSES = 5;

export function toWire(value: unknown): unknown {
  if (typeof value === 'function' || typeof value === 'symbol') throw new Error(`A ${typeof value} cannot cross.`);
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return value;
  if (value instanceof Secret) return new Map([['secret', [value.kind, value.reveal()]]]);
  if (value instanceof Error) return new Map([['error', errorToWire(value, MOST_CAUSES)]]);
  if (value instanceof Map) return new Map([['map', [...value].map((entry) => entry.map(toWire))]]);
  if (Array.isArray(value)) return value.map(toWire);
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, toWire(member)]));
}

export function fromWire(value: unknown): unknown {
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return value;
  if (value instanceof Map) return writtenOut(value as ReadonlyMap<string, unknown>);
  if (Array.isArray(value)) return value.map(fromWire);
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, fromWire(member)]));
}

function writtenOut(value: ReadonlyMap<string, unknown>): unknown {
  for (const [kind, content] of value) {
    switch (kind) {
      case 'secret':
        return new Secret(...(content as [SecretKind, string]));
      case 'error':
        return errorFromWire(content as WireError);
      case 'map':
        return new Map((content as [unknown, unknown][]).map(([name, member]) => [fromWire(name), fromWire(member)]));
      default:
    }
  }
  throw new Error('What came from the other process is nothing that it writes.');
}

/** Everything about an error that somebody may look at; `details` without its cause. */
type WireError =
  | { readonly is: 'evergrant' | 'oauth'; readonly code: string; readonly details: unknown; readonly said: Said }
  | { readonly is: 'client'; readonly location: string; readonly said: Said }
  | { readonly is: 'store' | 'other'; readonly said: Said };

/** What the log shows. */
interface Said {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly cause: unknown;
}

function errorToWire(error: Error, depth: number): WireError {
  const { name, message, stack, cause } = error;
  const said: Said = { name, message, stack, cause: causeToWire(cause, depth - 1) };
  if (error instanceof EvergrantError || error instanceof OAuthError) {
    const { cause: _, ...details } = error.details;
    return {
      is: error instanceof OAuthError ? 'oauth' : 'evergrant',
      code: error.code,
      details: toWire(details),
      said,
    };
  }
  if (error instanceof ErrorForClient) return { is: 'client', location: error.location, said };
  return { is: error instanceof StoreFailure ? 'store' : 'other', said };
}

/** A cause that is no error is for the log alone, which shows nothing of it but what it is. */
function causeToWire(cause: unknown, depth: number): unknown {
  if (cause instanceof Error) return depth > 0 ? new Map([['error', errorToWire(cause, depth)]]) : undefined;
  return typeof cause === 'string' ? cause : undefined;
}

function errorFromWire(wire: WireError): Error {
  const error = made(wire, fromWire(wire.said.cause));
  // Where it happened, not where it arrived.
  if (wire.said.stack !== undefined) error.stack = wire.said.stack;
  return error;
}

function made(wire: WireError, cause: unknown): Error {
  const { said } = wire;
  const because = cause === undefined ? {} : { cause };
  switch (wire.is) {
    case 'evergrant': {
      const details = { ...(fromWire(wire.details) as EvergrantError['details']), ...because };
      return new EvergrantError(wire.code as EvergrantError['code'], said.message, details);
    }
    case 'oauth': {
      const details = { ...(fromWire(wire.details) as OAuthError['details']), ...because };
      return new OAuthError(wire.code as OAuthError['code'], details);
    }
    case 'client':
      return new ErrorForClient(wire.location);
    case 'store':
      return new StoreFailure(cause);
    case 'other':
      return Object.assign(new Error(said.message, because), { name: said.name });
  }
}
