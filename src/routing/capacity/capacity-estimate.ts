import { positive, real } from '../numeric-fields.js';
import type { MoeWith } from '../policy.js';
import { candidatesByExpert, risingAffinities } from '../selection/best-candidates.js';
import type { WorldCandidates } from '../selection/gather-scores.js';
import { affinityHead, affinityShareField, workingCapacity } from './capacity.js';

export const capacityEstimateFields = {
  ...affinityShareField,
  gateScale: real
    .positive()
    .default(0.5)
    .describe("standard deviation of the gate's argument for a token of unit variance"),
  capacityBatches: positive
    .default(20)
    .describe('first steps, run with the classic capacity, from which the capacity is estimated'),
};

/**
 * Capacity of one `locmoe` layer, estimated once from the first `capacityBatches` steps (LocMoE, arXiv 2401.13920,
 * Theorem 1; see workingCapacity): the mean delta and the mean size of the largest affinity head, over the choices of
 * all ranks. Delta is the smallest cosine in an expert's affinity head, averaged over the experts that have tokens.
 */
export class CapacityEstimate {
  /** [steps observed, sum of delta, sum of head sizes as shares of the choices]. */
  readonly #sums = new Float32Array(3);
  readonly state: ReadonlyMap<string, Float32Array> = new Map([['capacity', this.#sums]]);
  /** The same sums for the batches of the current step. */
  readonly #ofStep = new Float64Array(3);

  constructor(
    private readonly moe: MoeWith<typeof capacityEstimateFields>,
    private readonly dModel: number,
  ) {}

  /** Whether the estimate is still being made. */
  get isWatching(): boolean {
    return this.moe.capacityFactor !== null && this.#sums[0]! < this.moe.capacityBatches;
  }

  /** Returns the capacity per expert for `numChoices` choices of all ranks; `classic` before the estimate. */
  capacity(classic: number, numChoices: number): number {
    const [watched, deltas, shares] = threeOf(this.#sums);
    if (classic === Infinity || this.isWatching) return classic;
    return workingCapacity({
      classic,
      // float32 rounding may put the product just above an integer.
      count: Math.ceil((shares / watched) * numChoices - 1e-3),
      delta: deltas / watched,
      numExperts: this.moe.numExperts,
      dModel: this.dModel,
    });
  }

  /** Adds one batch: the choices of all ranks, with cosines between tokens and gates. */
  observe({ expertsN, affinitiesN }: WorldCandidates): void {
    const { numExperts, affinityShare, gateScale } = this.moe;
    const risingE = risingAffinities(candidatesByExpert(expertsN, numExperts), affinitiesN);
    const heads = risingE.map((rising) =>
      affinityHead(rising, affinityShare, gateScale * Math.sqrt(this.dModel)),
    );
    const busy = heads.filter(({ count }) => count > 0);
    this.#ofStep[0]!++;
    this.#ofStep[1]! +=
      busy.reduce((sum, { leastCosine }) => sum + Math.max(0, leastCosine), 0) / busy.length;
    this.#ofStep[2]! += Math.max(...heads.map(({ count }) => count)) / expertsN.length;
  }

  /** Adds the mean of the step's batches, if any was observed. */
  endStep(): void {
    const [batches, delta, share] = threeOf(this.#ofStep);
    if (batches === 0) return;
    this.#sums[0]!++;
    this.#sums[1]! += delta / batches;
    this.#sums[2]! += share / batches;
    this.skipStep();
  }

  /** Discards the step's batches. */
  skipStep(): void {
    this.#ofStep.fill(0);
  }
}

function threeOf(sums: Iterable<number>) {
  return [...sums] as [batches: number, delta: number, share: number];
}
