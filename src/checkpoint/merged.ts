import { addProduct, isOfPair, pairOf } from '../parameters/low-rank-pair.js';
import type { Checkpoint } from './checkpoint.js';

/**
 * Returns a checkpoint as if it had no `train.lora`: `read` adds the product of a matrix's low-rank pair, and the pairs
 * are hidden. A checkpoint without pairs is returned itself.
 */
export function mergedCheckpoint(checkpoint: Checkpoint): Checkpoint {
  const { folder, manifest, tokenizerFile } = checkpoint;
  const { train } = manifest.config;
  const { lora } = train;
  if (lora === null) return checkpoint;
  const { rank, alpha } = lora;
  const tensors = Object.entries(manifest.tensors).filter(([name]) => !isOfPair(name));
  return {
    folder,
    tokenizerFile,
    manifest: {
      ...manifest,
      config: { ...manifest.config, train: { ...train, lora: null } },
      tensors: Object.fromEntries(tensors),
    },
    has: (name) => !isOfPair(name) && checkpoint.has(name),
    read(name, shape) {
      const values = checkpoint.read(name, shape);
      const { a, b } = pairOf(name);
      if (checkpoint.has(a))
        addProduct(values, checkpoint.read(a), checkpoint.read(b), rank, (alpha ?? rank) / rank);
      return values;
    },
  };
}
