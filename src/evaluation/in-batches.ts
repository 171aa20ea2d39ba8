import type { Scorer } from '../inference/log-likelihood.js';

export interface Watch {
  /** Called with the number of items done. */
  readonly onProgress: (done: number) => void;
  /** Checked between batches; its reason is thrown. */
  readonly signal: AbortSignal;
}

/**
 * Works on batches of items, `scorer.atOnce` of them concurrently, whatever that number, the batches are the same.
 *
 * @returns the results of the batches, in order
 * @throws the first error of `work`, or the reason of `signal`
 */
export async function inBatches<Item, Result>(
  items: readonly Item[],
  size: number,
  { atOnce }: Pick<Scorer, 'atOnce'>,
  { onProgress, signal }: Watch,
  work: (batch: readonly Item[]) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  let done = 0;
  const takeTurns = async () => {
    for (let batch = next++; batch * size < items.length; batch = next++) {
      const some = items.slice(batch * size, (batch + 1) * size);
      results[batch] = await work(some);
      done += some.length;
      onProgress(done);
      signal.throwIfAborted();
    }
  };
  await Promise.all(Array.from({ length: atOnce }, takeTurns));
  return results;
}
