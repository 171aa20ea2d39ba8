import { real } from '../numeric-fields.js';
import type { MoeWith } from '../policy.js';
import type { RouterContext } from '../router.js';

// Shapes: E experts.

export const balancingBiasField = {
  biasUpdateRate: real
    .min(0)
    .default(0.001)
    .describe(
      'gamma: by how much a step moves the bias of an expert against its load; scores are between 0 and 1; 0 leaves biases as they are',
    ),
};

/**
 * Balance without an auxiliary loss (arXiv 2408.15664, algorithm 1; DeepSeek-V3, arXiv 2412.19437, section 2.1.2): the
 * choice of experts adds a bias to their scores, which falls by gamma after a step in which the expert had more choices
 * than the mean, before drops, and rises by gamma after one in which it had fewer. The mean is over the experts of the
 * same domains (level 1), since a bias cannot send a token elsewhere. The changes among these experts have a mean of 0,
 * as a common offset of biases has no effect.
 */
export class BalancingBias {
  /** Bias of each expert, equal on all ranks, length E. */
  readonly biasE: Float32Array;
  /** Choices of all ranks in the batches of the current step. */
  readonly #loadE: Float64Array;
  readonly #groups: readonly Int32Array[];
  readonly #rate: number;

  constructor({ moe, expertsOfDomain }: RouterContext<MoeWith<typeof balancingBiasField>>) {
    this.biasE = new Float32Array(moe.numExperts);
    this.#loadE = new Float64Array(moe.numExperts);
    this.#groups = [...new Map(expertsOfDomain.map((group) => [group[0], group])).values()];
    this.#rate = moe.biasUpdateRate;
  }

  /** @param routedByAllRanksE choices per expert of one batch, length E */
  observe(routedByAllRanksE: Float64Array): void {
    routedByAllRanksE.forEach((routed, expert) => {
      this.#loadE[expert]! += routed;
    });
  }

  endStep(): void {
    for (const group of this.#groups) {
      const total = group.reduce((sum, expert) => sum + this.#loadE[expert]!, 0);
      const directions = group.map((expert) => Math.sign(total - this.#loadE[expert]! * group.length));
      const mean = directions.reduce((sum, direction) => sum + direction, 0) / group.length;
      group.forEach((expert, i) => {
        this.biasE[expert]! += this.#rate * (directions[i]! - mean);
      });
    }
    this.skipStep();
  }

  /** Discards the batches of the step. */
  skipStep(): void {
    this.#loadE.fill(0);
  }
}
