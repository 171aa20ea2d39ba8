import { expect, it } from 'vitest';
import { runAsWorker } from './run-as-worker.js';

interface Memory {
  readonly peak: number;
  readonly activations: number;
}

it('micro-batches need less memory, by what the planner counts as activations', () => {
  const [whole, parted] = ['1', '8'].map((microBatches) =>
    runAsWorker<Memory>(new URL('micro-batch-memory.program.ts', import.meta.url), microBatches),
  );
  expect(parted.activations).toBe(whole.activations / 8);
  const saved = whole.activations - parted.activations;
  // Much more than the heap of JavaScript, which comes and goes by 10 MB.
  expect(saved).toBeGreaterThan(100e6);
  // The backward pass holds gradients of activations beside them.
  expect(whole.peak - parted.peak).toBeGreaterThan(0.8 * saved);
});
