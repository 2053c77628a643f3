/**
 * A table of numbers outside of the heap that is collected. What is kept of each token for ever would otherwise be moved
 * and marked again and again, and that would cost more than the exchanges. State: rows grow, and are never removed.
 */

/** Rows are made so many at a time, a power of two; what is not set yet is 0. */
const ROWS_AT_ONCE = 512;
const PART_BITS = Math.log2(ROWS_AT_ONCE);
const IN_PART = ROWS_AT_ONCE - 1;

export class Rows {
  readonly #width: number;
  readonly #parts: Float64Array[] = [];

  constructor(width: number) {
    this.#width = width;
  }

  get(row: number, column: number): number {
    return this.#parts[row >>> PART_BITS]?.[(row & IN_PART) * this.#width + column] ?? 0;
  }

  set(row: number, column: number, value: number): void {
    const part = row >>> PART_BITS;
    while (part >= this.#parts.length) this.#parts.push(new Float64Array(ROWS_AT_ONCE * this.#width));
    const cells = this.#parts[part];
    if (cells) cells[(row & IN_PART) * this.#width + column] = value;
  }

  /** Null is kept as NaN. */
  setOrNull(row: number, column: number, value: number | null): void {
    this.set(row, column, value ?? Number.NaN);
  }

  getOrNull(row: number, column: number): number | null {
    const value = this.get(row, column);
    return Number.isNaN(value) ? null : value;
  }
}
