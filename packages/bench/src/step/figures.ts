import type { RunConfig } from 'locmoe/internal/config/schema';
import { median } from '../statistics.js';
import type { StepRun } from './step-run.js';

/** FLOP of training per parameter and token: the forward product and its two gradients. */
const FLOP_PER_PARAMETER = 6;

export function stepMsOf(run: StepRun): number {
  return median(run.stepMs);
}

export function optimizerShare(run: StepRun): number {
  return run.partsMs.optimizer / stepMsOf(run);
}

/** Share of a step in collective calls: moving bytes and waiting for ranks or cores. */
export function communicationShare({ partsMs, stepMs }: StepRun): number {
  return (partsMs.exchange + partsMs.allReduce + partsMs.waiting) / median(stepMs);
}

/**
 * Parameters in matrix products of one token: the matrices of all layers, the tied softmax, the gate, and the
 * experts that kept it. Embedding lookups, gains and biases are not products.
 *
 * @param config router `switch`, no query layer
 * @param keptPerToken mean experts per token in a sparse layer, after drops
 */
export function activeParameters({ model, moe }: RunConfig, keptPerToken: number): number {
  const { dModel, dFeedForward, numDenseLayers, numSparseLayers, vocabSize } = model;
  const attention = 4 * dModel ** 2;
  const feedForward = 2 * dModel * dFeedForward;
  return (
    vocabSize * dModel +
    numDenseLayers * (attention + feedForward) +
    numSparseLayers * (attention + dModel * moe.numExperts + keptPerToken * feedForward)
  );
}

/**
 * Throughput relative to the limit set by the matrix products alone. Attention scores and all other
 * operations count as overhead.
 *
 * @param sgemmFlopsPerS of all cores
 */
export function shareOfLimit(run: StepRun, config: RunConfig, sgemmFlopsPerS: number): number {
  const flopPerToken = FLOP_PER_PARAMETER * activeParameters(config, run.keptPerToken ?? 1);
  return (run.tokensPerS * flopPerToken) / sgemmFlopsPerS;
}
