/** The chains that are minded in this process, by id and by alias. A chain is taken up when it is first asked for. */
import type { GrantId } from '../core/id.ts';
import type { ChainMinder } from './minder.ts';

export class Minders {
  readonly #byName = new Map<string, ChainMinder>();
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
    const known = this.#byName.get(idOrAlias);
    if (known) return known;
    const { minder, names } = await this.#find(idOrAlias);
    // Two that asked at once must share one minder, for it is what makes exchanges one at a time.
    const first = this.#byName.get(minder.grant) ?? minder;
    for (const name of names) this.#byName.set(name, first);
    return first;
  }

  /** A name no longer leads to this grant. */
  forgetName(name: string): void {
    this.#byName.delete(name);
  }

  forget(grant: GrantId): void {
    for (const [name, minder] of this.#byName) if (minder.grant === grant) this.#byName.delete(name);
  }

  /** Names other than its id lead nowhere until they are asked for again: another node may have changed them. */
  forgetNamesOf(grant: GrantId): void {
    for (const [name, minder] of this.#byName) if (minder.grant === grant && name !== grant) this.#byName.delete(name);
  }

  all(): ReadonlySet<ChainMinder> {
    return new Set(this.#byName.values());
  }
}
