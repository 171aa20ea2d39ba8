import type * as tf from '@tensorflow/tfjs-node';
import type { FeedForwardWeights } from '../../ops/kernels/kernels.js';
import type { Placement } from '../../routing/groups/expert-placement.js';
import type { RoutingDecision } from '../../routing/router.js';
import type { LayerContext } from './all-to-all-rows.js';

// Shapes: T tokens of this rank, R rows received, d hidden size, F hidden size of an expert.

/** The communication context of a sparse layer, with the ranks of its experts. */
export interface DispatchContext extends LayerContext {
  readonly placement: Placement;
}

/** The experts of this rank in one sparse layer, in the order of `expertsOfRank`. */
export interface LocalExperts {
  /**
   * Runs each expert on its own consecutive rows: [R, d] -> [R, d].
   *
   * @param numRows number of rows of each expert, possibly 0; their sum is R
   */
  run(xRD: tf.Tensor2D, numRows: readonly number[]): tf.Tensor2D;
  /** Returns the weights of each expert; null for experts without rows. */
  weights(numRows: readonly number[]): readonly (FeedForwardWeights | null)[];
}

/**
 * Sends this rank's tokens to their experts and back: [T, d] -> [T, d], the weighted sum of each token's expert outputs
 * (LocMoE eq. 1), zero for dropped tokens. A collective in both the forward and the backward pass.
 *
 * @throws TrainerError as `Transport.transfer`
 */
export type Dispatcher = (xTD: tf.Tensor2D, decision: RoutingDecision, experts: LocalExperts) => tf.Tensor2D;
