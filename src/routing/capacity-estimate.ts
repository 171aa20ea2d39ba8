import { z } from 'zod';
import { candidatesByExpert, risingAffinities } from './expert-choice.js';
import type { WorldCandidates } from './gather-scores.js';
import type { MoeWith } from './policy.js';
import { affinityHead, affinityShareField, workingCapacity } from './working-capacity.js';

export const capacityEstimateFields = {
  ...affinityShareField,
  gateScale: z
    .number()
    .positive()
    .default(0.5)
    .describe("standard deviation of the gate's argument for a token of unit variance"),
  capacityBatches: z
    .number()
    .int()
    .positive()
    .default(20)
    .describe('first steps, with the classic capacity, that decide the capacity of all later ones'),
};

/**
 * The capacity of one layer of `locmoe`, found once: the means over the first
 * `capacityBatches` steps of delta and of the largest affinity head decide it (LocMoE, arXiv 2401.13920, Theorem 1; see
 * workingCapacity). Both are of the tokens of all ranks, so that the layout does not matter. Delta is the mean over
 * experts with tokens of the least cosine in their affinity heads.
 */
export class CapacityEstimate {
  /** [steps watched, sum of delta, sum of shares]. */
  readonly #sums = new Float32Array(3);
  readonly state: ReadonlyMap<string, Float32Array> = new Map([['capacity', this.#sums]]);

  constructor(
    readonly moe: MoeWith<typeof capacityEstimateFields>,
    readonly dModel: number,
  ) {}

  /** Whether the batches that decide are not all seen yet. */
  get isWatching(): boolean {
    return this.moe.capacityFactor !== null && this.#sums[0] < this.moe.capacityBatches;
  }

  /** Choices that one expert takes of the `numTokens` of all ranks; the classic capacity while it is watching. */
  capacity(classic: number, numTokens: number): number {
    const [watched, deltas, shares] = this.#sums;
    if (classic === Infinity || this.isWatching) return classic;
    return workingCapacity({
      classic,
      // A share in float32 times T may lie a little above the whole number that it stands for.
      count: Math.ceil((shares / watched) * numTokens - 1e-3),
      delta: deltas / watched,
      numExperts: this.moe.numExperts,
      dModel: this.dModel,
    });
  }

  /** Takes the choices of all ranks in one step, with the cosine of each token and its gate. */
  observe({ expertsN, affinitiesN }: WorldCandidates): void {
    const { numExperts, affinityShare, gateScale } = this.moe;
    const risingE = risingAffinities(candidatesByExpert(expertsN, numExperts), affinitiesN);
    const heads = risingE.map((rising) =>
      affinityHead(rising, affinityShare, gateScale * Math.sqrt(this.dModel)),
    );
    const busy = heads.filter(({ count }) => count > 0);
    this.#sums[0]++;
    this.#sums[1] += busy.reduce((sum, { leastCosine }) => sum + Math.max(0, leastCosine), 0) / busy.length;
    this.#sums[2] += Math.max(...heads.map(({ count }) => count)) / expertsN.length;
  }
}
