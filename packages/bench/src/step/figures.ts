import type { RunConfig } from 'locmoe/config/schema';
import { median } from '../statistics.js';
import type { StepRun } from './step-run.js';

/** Floating-point operations that training takes for each parameter and token: a product and its two gradients. */
const FLOP_PER_PARAMETER = 6;

export function stepMsOf(run: StepRun): number {
  return median(run.stepMs);
}

export function optimizerShare(run: StepRun): number {
  return run.partsMs.optimizer / stepMsOf(run);
}

/** Share of a step inside collective calls: moving bytes, and waiting for other ranks and for a core. */
export function communicationShare({ partsMs, stepMs }: StepRun): number {
  return (partsMs.exchange + partsMs.allReduce + partsMs.waiting) / median(stepMs);
}

/**
 * Parameters that one token is multiplied with: the matrices of every layer, the tied softmax, the gate, and of the
 * experts those that kept it. Looked-up embeddings, gains and biases are no products.
 *
 * @param config router `switch`, no query layer
 * @param keptPerToken experts that a sparse layer kept of a token's choices, mean over tokens
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
 * Tokens a second, as a share of what the machine's matrix products alone would allow. The scores of attention and
 * everything that is no product count as lost.
 *
 * @param sgemmFlopsPerS of all cores
 */
export function shareOfLimit(run: StepRun, config: RunConfig, sgemmFlopsPerS: number): number {
  const flopPerToken = FLOP_PER_PARAMETER * activeParameters(config, run.keptPerToken ?? 1);
  return (run.tokensPerS * flopPerToken) / sgemmFlopsPerS;
}
