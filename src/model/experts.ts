import type { Experts, FeedForward } from '../architecture/architecture.js';
import { consume, isRecording } from '../ops/autograd.js';
import { feedForward, feedForwards } from '../ops/feed-forward.js';
import { kernels } from '../ops/kernels/choose-kernels.js';
import { exactMatMul } from '../ops/operations.js';
import { tf } from '../ops/tensorflow.js';
import { matrix } from '../parameters/matrix.js';
import type { ParameterSource } from '../parameters/parameters.js';
import { networkWeights } from './blocks.js';

/**
 * Returns the sum of the shared experts of a layer (DeepSeekMoE, arXiv 2401.06066, eq. 9), times sigmoid(x w) if they
 * have a gate (as in the class Qwen2Moe of transformers): [T, d] -> [T, d].
 */
export function sharedExperts(
  { network, gate }: NonNullable<Experts['shared']>,
  parameters: ParameterSource,
  xTD: tf.Tensor2D,
): tf.Tensor2D {
  const yTD = feedForward(xTD, networkWeights(network, parameters));
  return gate === null ? yTD : tf.mul(yTD, tf.sigmoid(exactMatMul(xTD, matrix(parameters, gate.name))));
}

/**
 * Runs each local expert on its own consecutive rows: [R, d] -> [R, d].
 *
 * @param expertIds global ids of the local experts
 * @param numRows number of rows of each expert, possibly 0; their sum is R
 */
export function experts(
  network: FeedForward,
  parameters: ParameterSource,
  xRD: tf.Tensor2D,
  expertIds: readonly number[],
  numRows: readonly number[],
): tf.Tensor2D {
  const busy = expertIds.map((id, i) => ({ id, rows: numRows[i]! })).filter(({ rows }) => rows > 0);
  // If there are no rows, the input is the output, so that the backward pass still reaches the all-to-alls on every rank.
  if (busy.length === 0) return xRD;
  const weightsOf = (id: number) => networkWeights(network, parameters, id);
  if (isRecording() || busy.length === 1)
    return feedForwards(
      xRD,
      busy.map(({ id }) => weightsOf(id)),
      busy.map(({ rows }) => rows),
    );
  // Experts run one after the other: without gradient recording, memory might not hold more than one.
  let end = 0;
  const parts = busy.map(({ id, rows }) => {
    end += rows;
    const part = kernels().sliceRows(xRD, end - rows, rows);
    return consume(
      [part],
      tf.tidy(() => feedForwards(part, [weightsOf(id)], [rows])),
    );
  });
  return consume(parts, kernels().concatRows(parts));
}
