/** JSON Pointer (RFC 6901): names one value inside a JSON answer, as in `/d/results/0/UserID`. */
import { isObject } from './json.ts';

/** The value a pointer names; undefined where there is none. Only own members count, so no answer reaches prototypes. */
export function readPointer(document: unknown, pointer: string): unknown {
  let value = document;
  for (const segment of pointer.split('/').slice(1)) {
    const name = unescaped(segment);
    if (!isObject(value) || !Object.hasOwn(value, name)) return undefined;
    value = value[name];
  }
  return value;
}

/** RFC 6901 section 4: `~1` first, then `~0`. Hardly any name has one. */
function unescaped(segment: string): string {
  return segment.includes('~') ? segment.replaceAll('~1', '/').replaceAll('~0', '~') : segment;
}
