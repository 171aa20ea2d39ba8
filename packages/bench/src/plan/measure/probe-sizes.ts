import { resolveConfig } from 'locmoe/internal/config/resolve';
import type { RunConfig } from 'locmoe/internal/config/schema';
import type { RouterName } from 'locmoe/internal/routing/index';

/**
 * Model sizes of single workers: [d, feed-forward, vocabulary, layers of each kind, experts, sequences of
 * 64].
 */
export const SIZES = [
  [64, 256, 1024, 2, 8, 8],
  [64, 256, 2048, 1, 4, 32],
  [128, 512, 1024, 2, 8, 4],
  [128, 512, 2048, 1, 2, 8],
  [128, 512, 2048, 2, 4, 16],
  [128, 256, 1024, 3, 8, 32],
  [256, 1024, 1024, 1, 4, 8],
  [256, 512, 2048, 2, 8, 16],
] as const;

/** The configuration of a single worker of a probe; nothing is dropped. */
export function configOf(size: (typeof SIZES)[number], router: RouterName): RunConfig {
  const [dModel, dFeedForward, vocabSize, layers, numExperts, globalBatch] = size;
  return resolveConfig(
    JSON.stringify({
      name: 'probe',
      model: {
        dModel,
        dFeedForward,
        vocabSize,
        numHeads: 4,
        seqLen: 64,
        numDenseLayers: layers,
        numSparseLayers: layers,
      },
      moe: { numExperts, router, capacityFactor: null },
      data: { domains: ['en', 'code'] },
      train: { steps: 1000, globalBatch, learningRate: 1e-4 },
    }),
    'probe',
  );
}
