/**
 * All worlds that were seen, as rows of five integers with an open hash over them. Whole rows are compared, so that no
 * two worlds are ever taken for one. Rows lie in blocks, so that growing copies none of them: tens of millions fit.
 */
import { createNumbers, type Numbers } from './numbers.ts';
import type { World } from './world.ts';

export interface WorldTable {
  /** The number of a world; a new one gets the number that was `size`. */
  add(world: World): number;
  get(id: number): World;
  readonly size: number;
}

const FIRST_PLACES = 1 << 13;

export function createWorldTable(): WorldTable {
  const columns = [createNumbers(), createNumbers(), createNumbers(), createNumbers(), createNumbers()] as const;
  const [storeds, families, firsts, seconds, rests] = columns;
  /** Row + 1 by hash; 0: free. Never more than two thirds full. */
  let places = new Int32Array(FIRST_PLACES);
  let size = 0;

  function hash(a: number, b: number, c: number, d: number, e: number): number {
    let h = Math.imul(a, 0x9e3779b1) ^ b;
    h = Math.imul(h ^ (h >>> 15), 0x85ebca77) ^ c;
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae3d) ^ d;
    h = Math.imul(h ^ (h >>> 16), 0x27d4eb2f) ^ e;
    h = Math.imul(h ^ (h >>> 15), 0x165667b1);
    return (h ^ (h >>> 13)) >>> 0;
  }

  function hashOf(row: number): number {
    return hash(storeds.get(row), families.get(row), firsts.get(row), seconds.get(row), rests.get(row));
  }

  function grow(): void {
    places = new Int32Array(places.length * 2);
    const last = places.length - 1;
    for (let row = 0; row < size; row++) {
      let place = hashOf(row) & last;
      while (places[place] !== 0) place = (place + 1) & last;
      places[place] = row + 1;
    }
  }

  /** Where it stands, or the free place where it would. */
  function placeOf({ stored, family, nodes, rest }: World): number {
    const [a, b] = nodes;
    const last = places.length - 1;
    let place = hash(stored, family, a, b, rest) & last;
    for (let row = (places[place] ?? 0) - 1; row >= 0; row = (places[place] ?? 0) - 1) {
      const isFound =
        storeds.get(row) === stored &&
        families.get(row) === family &&
        firsts.get(row) === a &&
        seconds.get(row) === b &&
        rests.get(row) === rest;
      if (isFound) return place;
      place = (place + 1) & last;
    }
    return place;
  }

  return {
    add(world) {
      if ((size + 1) * 3 > places.length * 2) grow();
      const place = placeOf(world);
      const row = (places[place] ?? 0) - 1;
      if (row >= 0) return row;
      const { stored, family, nodes, rest } = world;
      push(columns, [stored, family, nodes[0], nodes[1], rest]);
      places[place] = ++size;
      return size - 1;
    },
    get(id) {
      const nodes = [firsts.get(id), seconds.get(id)] as const;
      return { stored: storeds.get(id), family: families.get(id), nodes, rest: rests.get(id) };
    },
    get size() {
      return size;
    },
  };
}

function push(columns: readonly Numbers[], row: readonly number[]): void {
  for (const [i, column] of columns.entries()) column.push(row[i] ?? 0);
}
