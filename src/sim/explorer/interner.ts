/** Gives each distinct value a small number, so that a state of the explored world is a handful of integers. */
import { createPairs } from './numbers.ts';

export interface Interner<T> {
  /** The number of a value; `key` must tell apart whatever behaves differently. */
  id(key: string, make: () => T): number;
  readonly get: (id: number) => T;
  readonly size: number;
}

export function createInterner<T>(): Interner<T> {
  const ids = new Map<string, number>();
  const values: T[] = [];
  return {
    id(key, make) {
      const known = ids.get(key);
      if (known !== undefined) return known;
      ids.set(key, values.length);
      values.push(make());
      return values.length - 1;
    },
    get(id) {
      const value = values[id];
      if (value === undefined) throw new Error(`nothing has the number ${id}`);
      return value;
    },
    get size() {
      return values.length;
    },
  };
}

/** Remembers the results of a pure function of a number. */
export function remembered<R>(work: (id: number) => R): (id: number) => R {
  const known: (R | undefined)[] = [];
  return (id) => {
    const found = known[id];
    if (found !== undefined) return found;
    const made = work(id);
    known[id] = made;
    return made;
  };
}

/** Remembers the results of a pure function of a number and a short text, which are numbers from 0 on. */
export function rememberedBy(): (id: number, what: string, work: () => number) => number {
  const known = createPairs();
  const texts = new Map<string, number>();
  return (id, what, work) => {
    let text = texts.get(what);
    if (text === undefined) {
      text = texts.size;
      texts.set(what, text);
    }
    const found = known.get(id, text);
    if (found >= 0) return found;
    const made = work();
    known.set(id, text, made);
    return made;
  };
}

/** Remembers the results of a pure function of two numbers, which are numbers from 0 on. */
export function rememberedOfTwo(work: (a: number, b: number) => number): (a: number, b: number) => number {
  const known = createPairs();
  return (a, b) => {
    const found = known.get(a, b);
    if (found >= 0) return found;
    const made = work(a, b);
    known.set(a, b, made);
    return made;
  };
}
