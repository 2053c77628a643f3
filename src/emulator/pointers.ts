/** Writing into JSON by JSON Pointer (RFC 6901), for answers whose form a provider file describes. */

export type Fields = Record<string, unknown>;

const segmentsOf = (pointer: string) =>
  pointer
    .split('/')
    .slice(1)
    .map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'));

const isIndex = (segment: string | undefined) => segment !== undefined && /^\d+$/.test(segment);

/** Sets one value; what is missing on the way is made, lists where the pointer has a number. Changes `document`. */
export function setAt(document: Fields, pointer: string, value: unknown): void {
  const path = segmentsOf(pointer);
  const last = path.pop() ?? '';
  let parent: object = document;
  for (const [i, segment] of path.entries()) {
    const known: unknown = Object.hasOwn(parent, segment) ? Reflect.get(parent, segment) : undefined;
    const next = typeof known === 'object' && known !== null ? known : isIndex(path[i + 1] ?? last) ? [] : {};
    if (next !== known) define(parent, segment, next);
    parent = next;
  }
  define(parent, last, value);
}

/** Removes one value, where it is there. Changes `document`. */
export function removeAt(document: Fields, pointer: string): void {
  const path = segmentsOf(pointer);
  const last = path.pop();
  let parent: unknown = document;
  for (const segment of path) {
    parent = typeof parent === 'object' && parent !== null ? Reflect.get(parent, segment) : null;
  }
  if (typeof parent === 'object' && parent !== null && last !== undefined) Reflect.deleteProperty(parent, last);
}

/** The pointer to a member beside another one. */
export function beside(pointer: string, name: string): string {
  return `${pointer.slice(0, pointer.lastIndexOf('/'))}/${name}`;
}

/** Unlike an assignment, never reaches a prototype. */
function define(parent: object, name: string, value: unknown): void {
  Object.defineProperty(parent, name, { value, writable: true, enumerable: true, configurable: true });
}
