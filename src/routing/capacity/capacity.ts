import { share } from '../numeric-fields.js';
import { regularizedIncompleteBeta } from './special-functions.js';

/**
 * Returns the classic expert capacity, ceil(factor * T * k / n) (Switch Transformer, arXiv 2101.03961, eq. 3).
 *
 * @param factor null for no limit
 * @param numTokens tokens of all ranks together
 * @returns choices per expert over all ranks; Infinity without a limit
 */
export function classicCapacity(
  factor: number | null,
  numTokens: number,
  numChoices: number,
  numExperts: number,
): number {
  if (factor === null) return Infinity;
  // A factor just below 1 compensates for binary fractions: 1.1 * 3200 / 2 is slightly more than 1760.
  return Math.ceil(((factor * numTokens * numChoices) / numExperts) * (1 - 1e-12));
}

// Lower bound of the capacity at which an expert gets a class-discriminative token (LocMoE, arXiv 2401.13920,
// Lemma 3 and Theorem 1; ETR, arXiv 2406.00023, Remark 7), in tokens. n experts, d hidden size, delta the
// cosine from which a token is discriminative.

/**
 * Returns p_delta = 1 - I_{delta^2}(1/2, (d-1)/2): the probability that a random direction in d dimensions has |cosine|
 * >= delta with a fixed one (Lemma 3).
 *
 * @param delta 0 to 1
 */
export function discriminativeShare(dModel: number, delta: number): number {
  // The symmetric form avoids the cancellation of 1 - I for a small share.
  return regularizedIncompleteBeta(1 - delta * delta, (dModel - 1) / 2, 0.5);
}

/** Returns C_min = 1 / (n p_delta), exact (Theorem 1); Infinity if p_delta vanishes. */
export function capacityBound(numExperts: number, dModel: number, delta: number): number {
  return 1 / (numExperts * discriminativeShare(dModel, delta));
}

export const affinityShareField = {
  affinityShare: share
    .default(0.4)
    .describe("tau: the capacity covers this share of an expert's affinity; at least C_min, at most classic"),
};

/**
 * Returns the fewest top candidates that hold `share` of an expert's affinity mass. The mass of a candidate is its
 * softmax term exp(sharpness * cosine), which unlike the cosine is not negative.
 *
 * @param rising affinities of one expert's candidates, ascending
 * @param share tau, in (0, 1]
 * @param sharpness factor of the cosines in the softmax
 * @returns the number of these candidates and the smallest of their cosines, which estimates delta (see capacityBound); 0 and 0
 *   without candidates
 */
export function affinityHead(
  rising: Float32Array,
  share: number,
  sharpness: number,
): { readonly count: number; readonly leastCosine: number } {
  const numCandidates = rising.length;
  if (numCandidates === 0) return { count: 0, leastCosine: 0 };
  // Masses are relative to the best candidate, to avoid overflow.
  const masses = new Float64Array(numCandidates);
  let total = 0;
  for (let i = 0; i < numCandidates; i++) {
    masses[i] = Math.exp(sharpness * (rising[i]! - rising[numCandidates - 1]!));
    total += masses[i]!;
  }
  const wanted = share * total;
  let held = 0;
  let count = 0;
  while (count < numCandidates && held < wanted) {
    held += masses[numCandidates - 1 - count]!;
    count++;
  }
  return { count, leastCosine: rising[numCandidates - count]! };
}

/**
 * Returns C = min(classic, max(C_min, count)), at least 1. C_min alone (LocMoE, Theorem 1) ranges from far below one
 * token to beyond any batch, so it only serves as a floor of the head's size.
 *
 * @param options upper bound `classic`, size `count` of the affinity head, and `delta`, of which a negative estimate counts as 0
 */
export function workingCapacity({
  classic,
  count,
  delta,
  numExperts,
  dModel,
}: Readonly<Record<'classic' | 'count' | 'delta' | 'numExperts' | 'dModel', number>>): number {
  const least = capacityBound(numExperts, dModel, Math.max(0, delta));
  return Math.max(1, Math.min(classic, Math.ceil(Math.max(least, count))));
}
