/**
 * Work that waits at the same time is done together: what a database pays for is the round trip and the commit.
 *
 * State: who waits, and which keys are in a batch that runs. Two batches never hold the same key at once, so what is
 * asked for one key is done in the order in which it was asked.
 */

export interface Batching<I> {
  /** Most batches that run at the same time. */
  readonly atOnce: number;
  /** Most items in one. */
  readonly size: number;
  /** Left out: any two items may be under way at once. */
  readonly keyOf?: (item: I) => string;
}

interface Waiting<I, O> {
  readonly item: I;
  readonly resolve: (output: O) => void;
  readonly reject: (reason: unknown) => void;
}

/** `run` gives one outcome for each item, in their order; where it rejects, all of them do. */
export function inBatches<I, O>(
  { atOnce, size, keyOf }: Batching<I>,
  run: (items: readonly I[]) => Promise<readonly PromiseSettledResult<O>[]>,
): (item: I) => Promise<O> {
  let waiting: Waiting<I, O>[] = [];
  const busy = new Set<string>();
  let running = 0;

  const isBusy = (item: I): boolean => keyOf !== undefined && busy.has(keyOf(item));

  function pump(): void {
    while (running < atOnce) {
      const batch = take();
      if (batch.length === 0) return;
      running += 1;
      void runOne(batch);
    }
  }

  function take(): readonly Waiting<I, O>[] {
    const batch: Waiting<I, O>[] = [];
    const left: Waiting<I, O>[] = [];
    for (const one of waiting) (batch.length < size && !isBusy(one.item) ? batch : left).push(one);
    if (keyOf) for (const { item } of batch) busy.add(keyOf(item));
    waiting = left;
    return batch;
  }

  async function runOne(batch: readonly Waiting<I, O>[]): Promise<void> {
    try {
      const outcomes = await run(batch.map(({ item }) => item));
      for (const [i, { resolve, reject }] of batch.entries()) {
        const outcome = outcomes[i];
        if (outcome?.status === 'fulfilled') resolve(outcome.value);
        else reject(outcome?.reason);
      }
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
    if (keyOf) for (const { item } of batch) busy.delete(keyOf(item));
    running -= 1;
    pump();
  }

  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      // What is asked in the same turn goes together.
      if (waiting.length === 1) queueMicrotask(pump);
    });
}
