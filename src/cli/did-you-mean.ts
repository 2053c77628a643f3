/** Finds what somebody probably meant to type, and what to use instead of what there is not. */

/** The nearest of the known words, as ` Did you mean …?`, or nothing when none is near. */
export function didYouMean(typed: string, known: Iterable<string>): string {
  let best = '';
  let least = Math.max(2, Math.floor(typed.length / 3)) + 1;
  for (const word of known) {
    const distance = editDistance(typed.toLowerCase(), word.toLowerCase());
    if (distance < least) [best, least] = [word, distance];
  }
  return best === '' ? '' : ` Did you mean ${best}?`;
}

/** Characters to insert, remove or replace to get from one word to the other (Levenshtein). */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}

/** Settings that people look for and that there are not, with what does the same. */
const INSTEAD: Readonly<Record<string, string>> = {
  workers: 'One process serves a data folder. To use more processors, run more nodes: docs/operating/cluster.md.',
};

/** What to do instead of a setting that there is not, as somebody named it; null where nothing is known of it. */
export function insteadOf(named: string): string | null {
  const name = named.replace(/^(EVERGRANT_|--)/, '').toLowerCase();
  return Object.hasOwn(INSTEAD, name) ? (INSTEAD[name] ?? null) : null;
}
