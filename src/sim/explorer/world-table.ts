/** All worlds that were seen, as rows of five integers in one array with an open hash over it: millions fit. */
import type { World } from './world.ts';

export interface WorldTable {
  add(world: World): { readonly id: number; readonly isNew: boolean };
  get(id: number): World;
  readonly size: number;
}

const WIDTH = 5;
const FIRST_ROWS = 1 << 12;

export function createWorldTable(): WorldTable {
  let rows = new Int32Array(FIRST_ROWS * WIDTH);
  /** Row + 1 by hash; 0: free. Never more than half full. */
  let places = new Int32Array(FIRST_ROWS * 2);
  let size = 0;

  function hash(a: number, b: number, c: number, d: number, e: number): number {
    let h = Math.imul(a, 0x9e3779b1) ^ b;
    h = Math.imul(h ^ (h >>> 15), 0x85ebca77) ^ c;
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae3d) ^ d;
    h = Math.imul(h ^ (h >>> 16), 0x27d4eb2f) ^ e;
    h = Math.imul(h ^ (h >>> 15), 0x165667b1);
    return (h ^ (h >>> 13)) >>> 0;
  }

  function grow(): void {
    const wider = new Int32Array(rows.length * 2);
    wider.set(rows);
    rows = wider;
    places = new Int32Array(places.length * 2);
    for (let id = 0; id < size; id++) {
      const i = id * WIDTH;
      let place =
        hash(rows[i] ?? 0, rows[i + 1] ?? 0, rows[i + 2] ?? 0, rows[i + 3] ?? 0, rows[i + 4] ?? 0) &
        (places.length - 1);
      while (places[place] !== 0) place = (place + 1) & (places.length - 1);
      places[place] = id + 1;
    }
  }

  return {
    add({ stored, family, nodes: [a, b], rest }) {
      if ((size + 1) * WIDTH > rows.length) grow();
      let place = hash(stored, family, a, b, rest) & (places.length - 1);
      for (let row = places[place] ?? 0; row !== 0; row = places[place] ?? 0) {
        const i = (row - 1) * WIDTH;
        if (
          rows[i] === stored &&
          rows[i + 1] === family &&
          rows[i + 2] === a &&
          rows[i + 3] === b &&
          rows[i + 4] === rest
        ) {
          return { id: row - 1, isNew: false };
        }
        place = (place + 1) & (places.length - 1);
      }
      rows.set([stored, family, a, b, rest], size * WIDTH);
      places[place] = ++size;
      return { id: size - 1, isNew: true };
    },
    get(id) {
      const i = id * WIDTH;
      const [stored = 0, family = 0, a = 0, b = 0, rest = 0] = rows.subarray(i, i + WIDTH);
      return { stored, family, nodes: [a, b], rest };
    },
    get size() {
      return size;
    },
  };
}
