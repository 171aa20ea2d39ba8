import type { RunConfig } from '../config/schema.js';
import { isOfPair, pairOf } from '../parameters/low-rank-pair.js';
import type { Checkpoint } from './checkpoint.js';

/**
 * A checkpoint as one without `train.lora`: what it reads of a matrix has the product of the low-rank pair added, and the pairs
 * are not there. Itself if it has none. `locate` finds the matrix without its pair.
 */
export function mergedCheckpoint(checkpoint: Checkpoint): Checkpoint {
  const { manifest } = checkpoint;
  const { train } = manifest.config;
  const { lora } = train;
  if (lora === null) return checkpoint;
  const tensors = Object.entries(manifest.tensors).filter(([name]) => !isOfPair(name));
  return {
    ...checkpoint,
    manifest: {
      ...manifest,
      config: { ...manifest.config, train: { ...train, lora: null } },
      tensors: Object.fromEntries(tensors),
    },
    has: (name) => !isOfPair(name) && checkpoint.has(name),
    read(name, shape) {
      const values = checkpoint.read(name, shape);
      const { a, b } = pairOf(name);
      if (checkpoint.has(a)) addProduct(values, checkpoint.read(a), checkpoint.read(b), lora);
      return values;
    },
  };
}

/** Adds alpha / rank A B. @param bRB [R, b] @param aAR [a, R] @param wAB [a, b] */
function addProduct(
  wAB: Float32Array,
  aAR: Float32Array,
  bRB: Float32Array,
  { rank, alpha }: NonNullable<RunConfig['train']['lora']>,
): void {
  const width = bRB.length / rank;
  const scale = (alpha ?? rank) / rank;
  for (let i = 0; i < wAB.length; i++) {
    const [row, column] = [Math.floor(i / width), i % width];
    let sum = 0;
    for (let r = 0; r < rank; r++) sum += aAR[row * rank + r]! * bRB[r * width + column]!;
    wAB[i]! += scale * sum;
  }
}
