/** The turns of the event loop, for work that is better done once for all who are ready than once for each. */

/** Resolves when every socket, file and timer that is ready now has been heard. */
export function endOfTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
