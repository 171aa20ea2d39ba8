// Multiplies with two threads, of which one still spins when the process ends; prints how many threads were added.
import { readFileSync } from 'node:fs';
import { findOneDnn, findThreads } from '../../../../scripts/onednn.mjs';
import { loadOneDnn } from '../../../../src/ops/kernels/onednn/library.js';
import { Primitives } from '../../../../src/ops/kernels/onednn/primitives.js';

process.env.OMP_NUM_THREADS = '2';
process.env.OMP_WAIT_POLICY = 'active';
const LENGTH = 512;
const matrixOf = (value: number) => ({
  values: new Float32Array(LENGTH * LENGTH).fill(value),
  dims: [LENGTH, LENGTH],
});
const numThreads = () => Number(/Threads:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);

const primitives = new Primitives(loadOneDnn(findOneDnn()!, findThreads()));
const product = matrixOf(0);
const before = numThreads();
primitives.product(matrixOf(1), matrixOf(1), product);
console.log(JSON.stringify({ sum: product.values[0], moreThreads: numThreads() - before }));
