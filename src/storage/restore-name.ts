/** The name of a restore tells when it was noticed, by the store's clock: `<milliseconds>.<something unique>`. */
import type { Instant } from '../core/instant.ts';

export function restoreName(now: number, unique: string): string {
  return `${now}.${unique}`;
}

/** Null where there was none, or an older version named it. */
export function restoredAt(restore: string | null): Instant | null {
  const at = /^(\d+)\./.exec(restore ?? '')?.[1];
  return at === undefined ? null : (Number(at) as Instant);
}
