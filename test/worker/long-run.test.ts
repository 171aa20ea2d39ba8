import { expect, it } from 'vitest';
import { runAsWorker } from './run-as-worker.js';

interface Span {
  readonly residentBytes: number;
  readonly tensors: number;
}

it('a worker holds no more in its third 300 steps than in its second', () => {
  const [early, late] = runAsWorker<[Span, Span]>(new URL('long-run.program.ts', import.meta.url));
  expect(late.tensors).toBe(early.tensors);
  // The addon's builds for TensorFlow 1.15 leak 32 bytes for each input and output tensor of compiled parts.
  expect((late.residentBytes - early.residentBytes) / 300).toBeLessThan(20_000);
});
