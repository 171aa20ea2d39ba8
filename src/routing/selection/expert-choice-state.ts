import { affinityHead, affinityShareField, workingCapacity } from '../capacity/capacity.js';
import { spreadWithPreference, type tokenPreferenceField } from '../gates/token-preference.js';
import { positive, real } from '../numeric-fields.js';
import type { MoeWith } from '../policy.js';
import { RunningThresholds } from './running-thresholds.js';

export const expertChoiceFields = {
  ...affinityShareField,
  temperature: real
    .positive()
    .default(1)
    .describe(
      'temperature of the softmax over affinities, in units of 1/sqrt(d), the spread of random cosines',
    ),
  capacityInterval: positive.default(1).describe('steps between two estimates of the capacity'),
};

/**
 * State of a `locmoe-plus` layer, equal on all ranks: working capacities, re-estimated every
 * `capacityInterval` steps from the candidates of all ranks, and the running thresholds.
 */
export class ExpertChoiceState {
  readonly #step = new Float32Array(1);
  /** Capacity of each expert as a share of the classic one, as batches differ in size. */
  readonly #shareE: Float32Array;
  readonly thresholds: RunningThresholds;
  readonly state: ReadonlyMap<string, Float32Array>;
  /** Shares estimated from the last batch of the current step; null without an estimate. */
  #estimatedE: Float32Array | null = null;

  constructor(
    private readonly moe: MoeWith<typeof expertChoiceFields & typeof tokenPreferenceField>,
    private readonly dModel: number,
  ) {
    const { numExperts } = moe;
    this.#shareE = new Float32Array(numExperts);
    this.thresholds = new RunningThresholds(numExperts, moe.capacityFactor !== null);
    this.state = new Map([['step', this.#step], ['capacity', this.#shareE], ...this.thresholds.state]);
  }

  /** Training steps done. */
  get step(): number {
    return this.#step[0]!;
  }

  /**
   * Returns C_i = min(classic, max(C_min, head)) per expert (see workingCapacity); delta is the lowest affinity in the
   * head. In a step with an estimate, every batch is estimated anew; until the next estimate, the last share of the
   * classic capacity applies.
   *
   * @param risingE affinities of each expert's candidates, ascending
   * @param classic classic capacity over all ranks; Infinity for no limit
   */
  capacities(risingE: readonly Float32Array[], classic: number): Float64Array {
    const { numExperts, capacityInterval } = this.moe;
    if (classic === Infinity) return new Float64Array(numExperts).fill(Infinity);
    if (this.step % capacityInterval === 0)
      this.#estimatedE = Float32Array.from(risingE, (rising) => this.#estimate(rising, classic) / classic);
    return Float64Array.from(this.#estimatedE ?? this.#shareE, (share) =>
      Math.max(1, Math.min(classic, Math.round(share * classic))),
    );
  }

  #estimate(rising: Float32Array, classic: number): number {
    const { numExperts, affinityShare, temperature } = this.moe;
    // There is no candidate to estimate from, but tokens may come before the next estimate.
    if (rising.length === 0) return classic;
    const { dModel } = this;
    const { count, leastCosine } = affinityHead(rising, affinityShare, Math.sqrt(dModel) / temperature);
    // The bound is for cosines with a random direction, whose spread a preference increases.
    const delta = leastCosine / spreadWithPreference(this.moe);
    return workingCapacity({ classic, count, delta, numExperts, dModel });
  }

  /** Keeps the step's capacities and moves the thresholds. */
  endStep(): void {
    this.#step[0]!++;
    if (this.#estimatedE !== null) this.#shareE.set(this.#estimatedE);
    this.thresholds.endStep();
    this.skipStep();
  }

  /** Discards the batches of the step. If it is called without `endStep`, the step is not applied, and the state is unchanged. */
  skipStep(): void {
    this.#estimatedE = null;
    this.thresholds.skipStep();
  }
}
