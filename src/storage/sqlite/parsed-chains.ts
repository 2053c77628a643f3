/**
 * Chains as they were parsed last. To parse a chain takes longer than to write it, and one exchange needs the same one
 * several times.
 *
 * State: the newest chains with the text of each. A chain is taken from here only where its row holds that very text, so
 * whatever became of the row (a rollback, a restore), nothing in here can be wrong.
 */
import type { Chain } from '../../core/chain.ts';
import type { GrantId } from '../../core/id.ts';

/** A few megabytes. More exchanges than that are not under way at the same time. */
const MOST = 512;

export class ParsedChains {
  readonly #newest = new Map<GrantId, { readonly text: string; readonly chain: Chain }>();

  parse(grant: GrantId, text: string): Chain {
    const known = this.#newest.get(grant);
    return this.#note(grant, text, known?.text === text ? known.chain : (JSON.parse(text) as Chain));
  }

  textOf(grant: GrantId, chain: Chain): string {
    const text = JSON.stringify(chain);
    this.#note(grant, text, chain);
    return text;
  }

  #note(grant: GrantId, text: string, chain: Chain): Chain {
    this.#newest.delete(grant);
    this.#newest.set(grant, { text, chain });
    const [oldest] = this.#newest.keys();
    if (this.#newest.size > MOST && oldest !== undefined) this.#newest.delete(oldest);
    return chain;
  }
}
