/**
 * A server in a process of its own, which can be ended, frozen and started again. The process for the next start is
 * loaded while this one runs.
 *
 * States: down ──start──▶ up ⇄ frozen (SIGSTOP); up, frozen ──it kills itself, is killed or told to stop──▶ down.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { COMPILE_CACHE } from '../support/compile-cache.ts';
import type { Numbered, Order, Report } from './node-process.ts';
import type { PlantedName } from './planted.ts';

const CHILD = new URL('./node-process.ts', import.meta.url);
const PLANTED_FILE = new URL('./planted.ts', import.meta.url);

export class RealNode {
  readonly name: string;
  readonly #planted: PlantedName | null;
  #spare: ChildProcess | null = null;
  #child: ChildProcess | null = null;
  #isFrozen = false;
  #orders = 0;
  /** Counts processes. */
  run = 0;
  origin = '';
  /** Everything that its processes ever printed. */
  output = '';

  constructor(name: string, planted: PlantedName | null = null) {
    this.name = name;
    this.#planted = planted;
  }

  get isUp(): boolean {
    return this.#child !== null && !this.#isFrozen;
  }

  get isThere(): boolean {
    return this.#child !== null;
  }

  get isFrozen(): boolean {
    return this.#isFrozen;
  }

  /** Loads the process that the next start will take. */
  prepare(): void {
    this.#spare ??= this.#load();
  }

  async start(order: Omit<Extract<Order, { kind: 'start' }>, 'kind'>): Promise<void> {
    const child = this.#spare ?? this.#load();
    this.#spare = null;
    const report = await this.#ask(child, { kind: 'start', ...order });
    if (report?.kind !== 'started') {
      child.kill('SIGKILL');
      throw new Error(`${this.name} did not start: ${this.#why(report)}\n${this.output}`);
    }
    this.origin = report.origin;
    this.run++;
    this.#child = child;
    child.once('exit', () => {
      if (this.#child === child) this.#child = null;
    });
  }

  /** False where it is gone, or too frozen to answer: then it hears of it later. */
  async tell(order: Order): Promise<boolean> {
    const child = this.#child;
    if (!child) return false;
    if (this.#isFrozen) {
      child.send({ ...order, number: ++this.#orders } satisfies Numbered);
      return false;
    }
    return (await this.#ask(child, order)) !== null;
  }

  /** Resolves with the signal or exit code when it is gone. */
  async end(how: 'SIGKILL' | 'SIGTERM'): Promise<string | number | null> {
    const child = this.#child;
    if (!child) return null;
    const ended = this.ended();
    child.kill(how);
    return ended;
  }

  async ended(): Promise<string | number | null> {
    const child = this.#child;
    if (!child) return null;
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    this.#child = null;
    this.#isFrozen = false;
    return child.signalCode ?? child.exitCode;
  }

  freeze(): void {
    if (!this.#child) return;
    this.#isFrozen = true;
    this.#child.kill('SIGSTOP');
  }

  /** Resolves when it has heard what it was told meanwhile. */
  async thaw(): Promise<void> {
    this.#child?.kill('SIGCONT');
    this.#isFrozen = false;
    await this.tell({ kind: 'advance', ms: 0 });
  }

  /** Stands still for an instant in which something changes under it, and counts as up meanwhile. */
  hold(): void {
    if (this.isUp) this.#child?.kill('SIGSTOP');
  }

  release(): void {
    if (this.isUp) this.#child?.kill('SIGCONT');
  }

  async close(): Promise<void> {
    const spare = this.#spare;
    this.#spare = null;
    if (spare && spare.exitCode === null && spare.signalCode === null) {
      const gone = once(spare, 'exit');
      spare.kill('SIGKILL');
      await gone;
    }
    await this.end('SIGKILL');
  }

  #load(): ChildProcess {
    const child = fork(CHILD, [], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...process.env, NODE_COMPILE_CACHE: COMPILE_CACHE, CHAOS_PLANTED: this.#planted ?? undefined },
      execArgv: this.#planted === null ? [] : ['--import', PLANTED_FILE.href],
    });
    // What it says at its end (its exit) matters, not that a channel broke.
    child.on('error', () => undefined);
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (this.output += String(chunk)));
    return child;
  }

  /**
   * What it says to this order, and not to an earlier one that it heard late; null where it ended before it answered.
   */
  #ask(child: ChildProcess, order: Order): Promise<Report | null> {
    const number = ++this.#orders;
    return new Promise((resolve) => {
      const end = (report: Report | null): void => {
        child.off('message', hear);
        child.off('exit', gone);
        resolve(report);
      };
      const hear = (report: Report): void => {
        if (report.kind !== 'loaded' && report.to === number) end(report);
      };
      const gone = () => end(null);
      child.on('message', hear);
      child.on('exit', gone);
      if (child.exitCode !== null || child.signalCode !== null) end(null);
      else child.send({ ...order, number } satisfies Numbered, () => undefined);
    });
  }

  #why(report: Report | null): string {
    return report?.kind === 'failed' ? report.why : 'it ended';
  }
}
