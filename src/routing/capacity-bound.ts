import { regularizedIncompleteBeta } from './special-functions.js';

// Lower bound of the capacity at which an expert gets a class-discriminative token (LocMoE, arXiv 2401.13920,
// Lemma 3 and Theorem 1; ETR, arXiv 2406.00023, Remark 7), in tokens. n experts, d hidden size, delta the
// cosine from which a token is discriminative.

/**
 * p_delta = 1 - I_{delta^2}(1/2, (d-1)/2): probability that a random direction in d dimensions has |cosine|
 * >= delta with a fixed one (Lemma 3).
 *
 * @param delta 0 to 1
 */
export function discriminativeShare(dModel: number, delta: number): number {
  // The symmetric form avoids the cancellation of 1 - I for a small share.
  return regularizedIncompleteBeta(1 - delta * delta, (dModel - 1) / 2, 0.5);
}

/** C_min = 1 / (n p_delta), exact (Theorem 1). Infinity where p_delta vanishes. */
export function capacityBound(numExperts: number, dModel: number, delta: number): number {
  return 1 / (numExperts * discriminativeShare(dModel, delta));
}
