/** The cookie that binds an authorization to the browser that opened it: one for each, so several can run at once. */
import { createHash } from 'node:crypto';
import type { CookieSerializeOptions } from '@fastify/cookie';
import type { HttpParts } from './parts.ts';

const NAME_LENGTH = 16;

/** By the `state` that the provider brings back; its digest, so that the name tells nothing. */
export function browserCookieName(state: string): string {
  return `evergrant_${createHash('sha256').update(state).digest('base64url').slice(0, NAME_LENGTH)}`;
}

/** Lax, not Strict: the provider's redirect back is a navigation from another site. */
export function cookieOptions({ settings }: HttpParts, path: string, maxAgeS: number): CookieSerializeOptions {
  const { protocol, pathname } = new URL(settings.publicUrl);
  return {
    path: `${pathname.replace(/\/$/, '')}${path}`,
    httpOnly: true,
    sameSite: 'lax',
    secure: protocol === 'https:',
    maxAge: maxAgeS,
  };
}
