import { exactMatMul, rowNorms } from '../../ops/operations.js';
import { tf } from '../../ops/tensorflow.js';
import { initStd } from '../../parameters/matrix.js';
import type { CommonMoe } from '../common-fields.js';
import type { RouterParameter } from '../policy.js';
import type { RouterInput } from '../router.js';
import { LEAST_NORM } from './cosines.js';
import { controlled } from './gate-control.js';

// Shapes: T tokens of this rank, d hidden size, E experts.
//
// A learned dense gate W_g, [d, E]: the gate vector of an expert is its column.

type GateInput = Pick<RouterInput, 'xTD' | 'parameters' | 'gateControl'>;

export function denseGateSpecs({ numExperts }: CommonMoe, dModel: number): RouterParameter[] {
  return [{ name: 'weight', shape: [dModel, numExperts] }];
}

/** Returns the standard deviation of the logits of an untrained gate, for a normalised token. */
export function denseGateSpread(dModel: number): number {
  return initStd(dModel) * Math.sqrt(dModel);
}

/** Computes x W_g, [T, d] -> [T, E], or the control of these scores that the input requests. */
export function denseGateLogits(input: GateInput): tf.Tensor2D {
  return controlled(exactMatMul(input.xTD, weightOf(input)), input.gateControl);
}

/** Computes the cosines between tokens and gate vectors, [T, E], differentiable in the logits and the gate. */
export function denseGateCosines(
  input: GateInput,
  logitsTE: tf.Tensor2D = denseGateLogits(input),
): tf.Tensor2D {
  const normsE = tf.sqrt(tf.sum(tf.square(weightOf(input)), 0, true));
  const normsT1 = tf.tensor2d(Float32Array.from(rowNorms(input.xTD)), [input.xTD.shape[0], 1]);
  return tf.div(logitsTE, tf.maximum(tf.mul(normsT1, normsE), LEAST_NORM));
}

function weightOf({ parameters }: GateInput): tf.Tensor2D {
  return parameters.get('weight') as tf.Tensor2D;
}
