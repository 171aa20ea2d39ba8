import type { MoeConfig } from '../config/schema.js';
import { affinityHead, workingCapacity } from './working-capacity.js';

// Shapes: T tokens of this rank, E experts.

/**
 * What one rank's batch says of the capacity: [delta, share]. Delta is the mean over experts with tokens of the least
 * cosine in their affinity heads; share is the largest affinity head in tokens over T.
 *
 * @param cosinesTE cosines of tokens and gates, row-major [T, E]
 * @param chosenT the expert of each token
 */
export function estimateOfBatch(
  cosinesTE: Float32Array,
  chosenT: Int32Array,
  { numExperts, affinityShare, gateScale }: Pick<MoeConfig, 'numExperts' | 'affinityShare' | 'gateScale'>,
  dModel: number,
): [delta: number, share: number] {
  const heads = Array.from({ length: numExperts }, (_, expert) => {
    const cosines: number[] = [];
    chosenT.forEach((chosen, t) => {
      if (chosen === expert) cosines.push(cosinesTE[t * numExperts + expert]);
    });
    return affinityHead(Float32Array.from(cosines), affinityShare, gateScale * Math.sqrt(dModel));
  });
  const busy = heads.filter(({ count }) => count > 0);
  const delta = busy.reduce((sum, { leastCosine }) => sum + Math.max(0, leastCosine), 0) / busy.length;
  return [delta, Math.max(...heads.map(({ count }) => count)) / chosenT.length];
}

/**
 * The capacity of one layer of `locmoe`, found once: the means of delta and of the largest affinity head over the
 * ranks and the first `capacityBatches` steps decide it (LocMoE, arXiv 2401.13920, Theorem 1; see workingCapacity).
 * The head is kept as a share of the tokens, so that the state does not depend on the layout.
 */
export class CapacityEstimate {
  /** [steps watched, sum of delta, sum of shares]. */
  readonly #sums = new Float32Array(3);
  readonly state: ReadonlyMap<string, Float32Array> = new Map([['capacity', this.#sums]]);

  constructor(
    readonly moe: MoeConfig,
    readonly dModel: number,
  ) {}

  /** Choices that one expert takes from one rank's `numTokens`; the classic capacity until all steps were watched. */
  capacity(classic: number, numTokens: number): number {
    const [watched, deltas, shares] = this.#sums;
    if (classic === Infinity || watched < this.moe.capacityBatches) return classic;
    return workingCapacity({
      classic,
      // A share in float32 times T may lie a little above the whole number that it stands for.
      count: Math.ceil((shares / watched) * numTokens - 1e-3),
      delta: deltas / watched,
      numExperts: this.moe.numExperts,
      dModel: this.dModel,
    });
  }

  /** Takes the estimates of all ranks for one step; nothing once enough steps were watched. */
  observe(estimates: readonly Float32Array[]): void {
    if (this.#sums[0] >= this.moe.capacityBatches) return;
    this.#sums[0]++;
    for (const [delta, share] of estimates) {
      this.#sums[1] += delta / estimates.length;
      this.#sums[2] += share / estimates.length;
    }
  }
}
