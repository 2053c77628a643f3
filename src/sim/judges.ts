/**
 * Watches a run and says what must never happen, each under the number of its invariant (docs/simulator.md).
 *
 * State: what was found, and figures.
 */
import type { Fault } from './faults.ts';
import { hashText } from './chance.ts';

export interface Violation {
  readonly invariant: string;
  readonly at: number;
  readonly what: string;
}

export interface Loss {
  readonly at: number;
  readonly account: string;
  readonly rule: string;
  readonly why: string;
  readonly diagnosis: string | null;
  readonly faults: readonly Fault[];
}

const MOST_KEPT = 20;

export class Judges {
  readonly violations: Violation[] = [];
  readonly losses: Loss[] = [];
  readonly injected = new Map<Fault, number>();
  violationCount = 0;
  asked = 0;
  served = 0;
  refused = 0;
  readonly refusals = new Map<string, number>();
  /** Longest time that a chain needed for a token once faults had stopped. */
  slowestRecoveryMs = 0;
  #trace = 0x811c9dc5;
  #traced = 0;

  violated(invariant: string, at: number, what: string): void {
    this.violationCount++;
    if (this.violations.length < MOST_KEPT) this.violations.push({ invariant, at, what });
  }

  injuredBy(fault: Fault): void {
    this.injected.set(fault, (this.injected.get(fault) ?? 0) + 1);
  }

  refusedWith(code: string): void {
    this.refusals.set(code, (this.refusals.get(code) ?? 0) + 1);
  }

  lost(loss: Loss): void {
    this.losses.push(loss);
  }

  /** Adds a line to the trace. Two runs with one seed must give one hash. */
  trace(at: number, line: string): void {
    this.#trace = hashText(line, this.#trace ^ Math.floor(at));
    this.#traced++;
  }

  get traceHash(): string {
    return `${(this.#trace >>> 0).toString(16).padStart(8, '0')}-${this.#traced}`;
  }
}
