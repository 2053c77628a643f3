/** Gives each distinct value a small number, so that a state of the explored world is a handful of integers. */

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

/** Remembers the results of a pure function of a number and a short text. */
export function rememberedBy<R>(): (id: number, what: string, work: () => R) => R {
  const known: (Map<string, R> | undefined)[] = [];
  return (id, what, work) => {
    let results = known[id];
    if (!results) {
      results = new Map();
      known[id] = results;
    }
    const found = results.get(what);
    if (found !== undefined) return found;
    const made = work();
    results.set(what, made);
    return made;
  };
}
