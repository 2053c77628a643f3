/** JSON Pointer (RFC 6901): names one value inside a JSON answer, as in `/d/results/0/UserID`. */
import { isObject } from './json.ts';

/** The value a pointer names; undefined where there is none. Only own members count, so no answer reaches prototypes. */
export function readPointer(document: unknown, pointer: string): unknown {
  let value = document;
  // Without a list of its segments: an answer is asked for a dozen places.
  for (let slash = pointer.indexOf('/'); slash !== -1; ) {
    const next = pointer.indexOf('/', slash + 1);
    const name = unescaped(pointer.slice(slash + 1, next === -1 ? undefined : next));
    if (!isObject(value) || !Object.hasOwn(value, name)) return undefined;
    value = value[name];
    slash = next;
  }
  return value;
}

/** RFC 6901 section 4: `~1` first, then `~0`. Hardly any name has one. */
function unescaped(segment: string): string {
  return segment.includes('~') ? segment.replaceAll('~1', '/').replaceAll('~0', '~') : segment;
}
