/** The caller's own clock, for programs that wait and show what is left of a token. */

/** Milliseconds since the Unix epoch. */
export function now(): number {
  return Date.now();
}

/** Resolves after so many milliseconds. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/** Milliseconds by a clock that nobody sets. */
export function uptime(): number {
  return performance.now();
}
