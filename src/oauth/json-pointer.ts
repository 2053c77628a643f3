/** JSON Pointer (RFC 6901): names one value inside a JSON answer, as in `/d/results/0/UserID`. */
import { isObject } from './json.ts';

/** The names a pointer consists of, unescaped (RFC 6901 section 4: `~1` first, then `~0`). */
function segmentsOf(pointer: string): readonly string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** The value a pointer names; undefined where there is none. Only own members count, so no answer reaches prototypes. */
export function readPointer(document: unknown, pointer: string): unknown {
  let value = document;
  for (const segment of segmentsOf(pointer)) {
    if (!isObject(value) || !Object.hasOwn(value, segment)) return undefined;
    value = value[segment];
  }
  return value;
}
