import { expect, it } from 'vitest';
import { inBatches } from '../../src/evaluation/in-batches.js';

const watch = () => {
  const progress: number[] = [];
  return {
    progress,
    onProgress: (done: number) => progress.push(done),
    signal: new AbortController().signal,
  };
};

it('works on as many batches at once as it may, and gives results in order', async () => {
  const watched = watch();
  const waiting: (() => void)[] = [];
  const most: number[] = [];
  const results = inBatches([1, 2, 3, 4, 5], 2, { atOnce: 2 }, watched, async (batch) => {
    await new Promise<void>((resolve) => waiting.push(resolve));
    return batch.join();
  });
  // The later batch finishes first.
  while (waiting.length > 0) {
    most.push(waiting.length);
    waiting.pop()!();
    await new Promise(setImmediate);
  }
  expect(await results).toEqual(['1,2', '3,4', '5']);
  expect(most).toEqual([2, 2, 1]);
  expect(watched.progress).toEqual([2, 3, 5]);
});

it('fails as its first batch that fails', async () => {
  const work = async ([item]: readonly number[]) => {
    if (item! > 1) throw new Error(`batch ${item}`);
  };
  await expect(inBatches([1, 2, 3, 4], 1, { atOnce: 3 }, watch(), work)).rejects.toThrow('batch 2');
});
