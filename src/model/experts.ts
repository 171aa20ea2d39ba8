import { consume, isRecording } from '../ops/autograd.js';
import { feedForward, feedForwards } from '../ops/feed-forward.js';
import { kernels } from '../ops/kernels/choose-kernels.js';
import { exactMatMul } from '../ops/operations.js';
import { tf } from '../ops/tensorflow.js';
import { initStd, matrix, matrixSpec } from '../parameters/matrix.js';
import type { ParameterSource, ParameterSpec } from '../parameters/parameters.js';
import type { Family } from './family.js';
import { type FeedForwardSize, feedForwardSpecs, feedForwardWeights } from './transformer-block.js';

/** Sizes of a sparse layer; `dFeedForward` is the hidden size of an expert. */
export interface SparseSize extends FeedForwardSize {
  /** Experts that every token passes through. */
  readonly sharedExperts: number;
  /** Whether a gate scales the sum of the shared experts. */
  readonly sharedExpertGate: boolean;
}

/** Returns the specs of the shared experts: one network, `sharedExperts` times as wide, which computes their sum. */
export function sharedSpecs(prefix: string, size: SparseSize): ParameterSpec[] {
  const { sharedExperts, sharedExpertGate, dFeedForward, dModel } = size;
  if (sharedExperts === 0) return [];
  return [
    ...feedForwardSpecs(`${prefix}.shared`, { ...size, dFeedForward: sharedExperts * dFeedForward }),
    ...(sharedExpertGate ? [matrixSpec(`${prefix}.shared.gate`, [dModel, 1], initStd(dModel))] : []),
  ];
}

/**
 * Returns the sum of the shared experts of a layer (DeepSeekMoE, arXiv 2401.06066, eq. 9), times sigmoid(x w) if they
 * have a gate (as in the class Qwen2Moe of transformers): [T, d] -> [T, d].
 */
export function sharedExperts(
  { family, sharedExpertGate }: SparseSize,
  parameters: ParameterSource,
  prefix: string,
  xTD: tf.Tensor2D,
): tf.Tensor2D {
  const yTD = feedForward(xTD, feedForwardWeights(parameters, `${prefix}.shared`, family));
  if (!sharedExpertGate) return yTD;
  return tf.mul(yTD, tf.sigmoid(exactMatMul(xTD, matrix(parameters, `${prefix}.shared.gate`))));
}

/** Returns the parameter specs of the experts with these global ids. */
export function expertSpecs(
  prefix: string,
  expertIds: readonly number[],
  size: FeedForwardSize,
): ParameterSpec[] {
  return expertIds.flatMap((id) => feedForwardSpecs(`${prefix}.${id}`, size, 'expert'));
}

/**
 * Runs each local expert on its own consecutive rows: [R, d] -> [R, d].
 *
 * @param expertIds global ids of the local experts
 * @param numRows number of rows of each expert, possibly 0; their sum is R
 */
export function experts(
  family: Family,
  parameters: ParameterSource,
  prefix: string,
  xRD: tf.Tensor2D,
  expertIds: readonly number[],
  numRows: readonly number[],
): tf.Tensor2D {
  const busy = expertIds.map((id, i) => ({ id, rows: numRows[i]! })).filter(({ rows }) => rows > 0);
  // If there are no rows, the input is the output, so that the backward pass still reaches the all-to-alls on every rank.
  if (busy.length === 0) return xRD;
  const weightsOf = (id: number) => feedForwardWeights(parameters, `${prefix}.${id}`, family);
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
