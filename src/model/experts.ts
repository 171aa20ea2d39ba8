import { tf } from '../ops/tensorflow.js';
import { matrix } from '../parameters/matrix.js';
import type { ParameterSource, ParameterSpec } from '../parameters/parameters.js';
import type { ExpertWeights } from './dispatch/dispatcher.js';
import { type FeedForwardSize, feedForward, feedForwardSpecs } from './feed-forward.js';

/** Parameter specs of the experts with these global ids. */
export function expertSpecs(
  prefix: string,
  expertIds: readonly number[],
  size: FeedForwardSize,
): ParameterSpec[] {
  return expertIds.flatMap((id) => feedForwardSpecs(`${prefix}.${id}`, size, 'expert'));
}

/** The matrices of the expert with this global id. */
export function expertWeights(parameters: ParameterSource, prefix: string, id: number): ExpertWeights {
  return {
    wInDF: matrix(parameters, `${prefix}.${id}.w_in`),
    wOutFD: matrix(parameters, `${prefix}.${id}.w_out`),
  };
}

/**
 * Runs each local expert on its own consecutive rows: [R, d] -> [R, d].
 *
 * @param expertIds global ids of the local experts
 * @param numRows rows of each, possibly none; they add up to R
 */
export function experts(
  parameters: ParameterSource,
  prefix: string,
  xRD: tf.Tensor2D,
  expertIds: readonly number[],
  numRows: readonly number[],
): tf.Tensor2D {
  const busy = expertIds.map((id, i) => ({ id, rows: numRows[i] })).filter(({ rows }) => rows > 0);
  // Without rows the input is the output, connected so that the backward all-to-alls run on every rank.
  if (busy.length === 0) return xRD;
  const parts: tf.Tensor2D[] =
    busy.length === 1
      ? [xRD]
      : tf.split(
          xRD,
          busy.map(({ rows }) => rows),
        );
  const outputs = busy.map(({ id }, i) => feedForward(parameters, `${prefix}.${id}`, parts[i], true));
  return outputs.length === 1 ? outputs[0] : tf.concat(outputs, 0);
}
