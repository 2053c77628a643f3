/** Whether moves that are no fault lead round in circles. */
import type { Numbers } from './numbers.ts';

/** Where each world's edges begin, in the order of worlds, and where they lead. */
export interface Edges {
  readonly starts: Numbers;
  readonly targets: Numbers;
}

const UNSEEN = 0;
const ON_THE_WAY = 1;
const DONE = 2;

/** A world that its own edges lead back to; -1: there is none. Depth first, without recursion. */
export function findCircle({ starts, targets }: Edges, size: number): number {
  const seen = new Uint8Array(size);
  const way: number[] = [];
  const next: number[] = [];
  const end = (world: number): number => (world + 1 < size ? starts.get(world + 1) : targets.length);
  for (let root = 0; root < size; root++) {
    if (seen[root] !== UNSEEN) continue;
    enter(root);
    while (way.length > 0) {
      const top = way.length - 1;
      const world = way[top] ?? 0;
      const at = next[top] ?? 0;
      if (at === end(world)) {
        seen[world] = DONE;
        way.pop();
        next.pop();
        continue;
      }
      next[top] = at + 1;
      const target = targets.get(at);
      if (seen[target] === ON_THE_WAY) return target;
      if (seen[target] === UNSEEN) enter(target);
    }
  }
  return -1;

  function enter(world: number): void {
    seen[world] = ON_THE_WAY;
    way.push(world);
    next.push(starts.get(world));
  }
}
