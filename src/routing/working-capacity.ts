import { z } from 'zod';
import { capacityBound } from './capacity-bound.js';

export const affinityShareField = {
  affinityShare: z
    .number()
    .gt(0)
    .max(1)
    .default(0.4)
    .describe(
      "tau; an expert's capacity is at least C_min and what holds this share of its affinity, at most the classic one",
    ),
};

/** The head of one expert's candidates that holds a share of its affinity. */
export interface AffinityHead {
  /** Candidates in it. */
  readonly count: number;
  /** The least cosine in it: the estimate of delta, the cosine from which a token counts as discriminative. */
  readonly leastCosine: number;
}

/**
 * The fewest top candidates that hold `share` of the expert's affinity mass, a candidate's mass being its factor in the
 * softmax over affinities, exp(sharpness * cosine), which unlike the cosine is never negative. The more the mass is
 * concentrated in few candidates, the fewer there are.
 *
 * @param rising affinities of one expert's candidates, in rising order
 * @param share tau, in (0, 1]
 * @param sharpness what cosines are multiplied by before the softmax
 * @returns count 0 and cosine 0 if there are no candidates
 */
export function affinityHead(rising: Float32Array, share: number, sharpness: number): AffinityHead {
  const numCandidates = rising.length;
  if (numCandidates === 0) return { count: 0, leastCosine: 0 };
  // Relative to the best, so that no exponential overflows.
  const masses = new Float64Array(numCandidates);
  let total = 0;
  for (let i = 0; i < numCandidates; i++) {
    masses[i] = Math.exp(sharpness * (rising[i] - rising[numCandidates - 1]));
    total += masses[i];
  }
  const wanted = share * total;
  let held = 0;
  let count = 0;
  while (count < numCandidates && held < wanted) {
    held += masses[numCandidates - 1 - count];
    count++;
  }
  return { count, leastCosine: rising[numCandidates - count] };
}

export interface WorkingCapacityOptions {
  /** Classic capacity: never more. */
  readonly classic: number;
  /** Candidates of the affinity head. */
  readonly count: number;
  /** Estimate of delta; a negative one counts as 0. */
  readonly delta: number;
  readonly numExperts: number;
  readonly dModel: number;
}

/**
 * C = min(classic, max(C_min, count)), at least 1: the lower bound alone (LocMoE Theorem 1) can be far below one token
 * or beyond every batch, so it acts as a floor under the candidates that matter and below the classic capacity.
 */
export function workingCapacity(options: WorkingCapacityOptions): number {
  const { classic, count, delta, numExperts, dModel } = options;
  const least = capacityBound(numExperts, dModel, Math.max(0, delta));
  return Math.max(1, Math.min(classic, Math.ceil(Math.max(least, count))));
}
