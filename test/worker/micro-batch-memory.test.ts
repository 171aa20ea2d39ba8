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
  // Much more than the JavaScript heap, which varies by 10 MB.
  expect(saved).toBeGreaterThan(100e6);
  // The backward pass also holds gradients of activations, so that the saving is at least of this size.
  expect(whole.peak - parted.peak).toBeGreaterThan(0.8 * saved);
});

it('a worker holds no more after 20 generations than after the first ones, wherever they are aborted', () => {
  const held = runAsWorker<{ tensors: number; residentBytes: number }[]>(
    new URL('generations.program.ts', import.meta.url),
  );
  expect(new Set(held.map(({ tensors }) => tensors)).size).toBe(1);
  const bytes = held.map(({ residentBytes }) => residentBytes);
  // Freed memory goes back to the kernel a little later, so the minimum of some samples shows what stays. One generation has 30 MB of parameters and moments, besides its activations.
  expect(Math.min(...bytes.slice(10)) - Math.min(...bytes.slice(0, 10))).toBeLessThan(15e6);
});
