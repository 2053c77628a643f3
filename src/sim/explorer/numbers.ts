/** Lists of integers that may become very long, and what is known of pairs of integers: both in typed arrays. */

export interface Numbers {
  push(value: number): void;
  get(at: number): number;
  readonly length: number;
}

const BLOCK_BITS = 16;
const BLOCK = 1 << BLOCK_BITS;

/** In blocks: growing copies nothing. */
export function createNumbers(): Numbers {
  const blocks: Int32Array[] = [];
  let length = 0;
  return {
    push(value) {
      const at = length & (BLOCK - 1);
      if (at === 0) blocks.push(new Int32Array(BLOCK));
      const block = blocks[length >>> BLOCK_BITS];
      if (block) block[at] = value;
      length++;
    },
    get: (at) => blocks[at >>> BLOCK_BITS]?.[at & (BLOCK - 1)] ?? 0,
    get length() {
      return length;
    },
  };
}

export interface Pairs {
  /** What was set for a pair of numbers, none of them below 0; below 0: nothing. */
  get(a: number, b: number): number;
  set(a: number, b: number, value: number): void;
}

const WIDTH = 3;
const FIRST_PLACES = 1 << 10;

/** Open hash: a + 1 (0: free), b, value. Never more than half full. */
export function createPairs(): Pairs {
  let places = new Int32Array(FIRST_PLACES * WIDTH);
  let most = FIRST_PLACES - 1;
  let size = 0;

  function placeOf(a: number, b: number): number {
    const h = Math.imul(Math.imul(a, 0x9e3779b1) ^ b, 0x85ebca77);
    let place = (h ^ (h >>> 15)) & most;
    for (;;) {
      const key = places[place * WIDTH];
      if (key === 0 || (key === a + 1 && places[place * WIDTH + 1] === b)) return place * WIDTH;
      place = (place + 1) & most;
    }
  }

  function grow(): void {
    const old = places;
    most = most * 2 + 1;
    places = new Int32Array((most + 1) * WIDTH);
    for (let i = 0; i < old.length; i += WIDTH) {
      const key = old[i] ?? 0;
      if (key !== 0) places.set(old.subarray(i, i + WIDTH), placeOf(key - 1, old[i + 1] ?? 0));
    }
  }

  return {
    get(a, b) {
      const place = placeOf(a, b);
      return places[place] === 0 ? -1 : (places[place + 2] ?? -1);
    },
    set(a, b, value) {
      if (size * 2 >= most) grow();
      const place = placeOf(a, b);
      if (places[place] === 0) size++;
      places[place] = a + 1;
      places[place + 1] = b;
      places[place + 2] = value;
    },
  };
}
