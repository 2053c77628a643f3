/** One-time texts that are handed out, and the digests under which they are kept. */
import { createHash } from 'node:crypto';
import type { KeeperParts } from './parts.ts';

const BYTES = 32;

/** 256 bits of chance, base64url. */
export function freshText(parts: KeeperParts): string {
  return Buffer.from(parts.random.bytes(BYTES)).toString('base64url');
}

export function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}
