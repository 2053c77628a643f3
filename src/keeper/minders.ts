/** The chains that are minded in this process, by id and by alias. A chain is taken up when it is first asked for. */
import type { GrantId } from '../core/id.ts';
import type { ChainMinder } from './minder.ts';

export class Minders {
  readonly #byName = new Map<string, ChainMinder>();
  /** Of each grant, every name under which its minder was kept: nobody looks through those of all others. */
  readonly #names = new Map<GrantId, Set<string>>();
  /** How often names were forgotten: what was looked up meanwhile may be what they led to before. */
  #forgotten = 0;
  readonly #find: (idOrAlias: string) => Promise<{ readonly minder: ChainMinder; readonly names: readonly string[] }>;

  /** `find` makes the minder of a grant that is not in memory; rejects with `not_found`. */
  constructor(
    find: (idOrAlias: string) => Promise<{ readonly minder: ChainMinder; readonly names: readonly string[] }>,
  ) {
    this.#find = find;
  }

  /** From memory alone. */
  known(idOrAlias: string): ChainMinder | undefined {
    return this.#byName.get(idOrAlias);
  }

  async of(idOrAlias: string): Promise<ChainMinder> {
    const kept = this.#byName.get(idOrAlias);
    if (kept) return kept;
    const forgotten = this.#forgotten;
    const { minder, names } = await this.#find(idOrAlias);
    // Two that asked at once must share one minder, for it is what makes exchanges one at a time.
    const first = this.#byName.get(minder.grant) ?? minder;
    const all = this.#names.get(minder.grant) ?? new Set();
    this.#names.set(minder.grant, all);
    for (const name of forgotten === this.#forgotten ? names : [minder.grant]) {
      this.#byName.set(name, first);
      all.add(name);
    }
    return first;
  }

  /** A name no longer leads to this grant. */
  forgetName(name: string): void {
    this.#forgotten++;
    this.#byName.delete(name);
  }

  forget(grant: GrantId): void {
    this.forgetNamesOf(grant);
    this.#byName.delete(grant);
    this.#names.delete(grant);
  }

  /** Names other than its id lead nowhere until they are asked for again: another node may have changed them. */
  forgetNamesOf(grant: GrantId): void {
    this.#forgotten++;
    for (const name of this.#names.get(grant) ?? []) {
      if (name !== grant && this.#byName.get(name)?.grant === grant) this.#byName.delete(name);
    }
  }

  all(): ReadonlySet<ChainMinder> {
    return new Set(this.#byName.values());
  }
}
