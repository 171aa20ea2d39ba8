import type * as tf from '@tensorflow/tfjs-node';
import { consume } from '../ops/autograd.js';
import { type AttentionShape, causalAttention, matMul } from '../ops/operations.js';
import { initStd, matrix, matrixSpec, residualStd } from '../parameters/matrix.js';
import type { ParameterSource, ParameterSpec } from '../parameters/parameters.js';

export function attentionSpecs(prefix: string, dModel: number, numLayers: number): ParameterSpec[] {
  return [
    matrixSpec(`${prefix}.qkv`, [dModel, 3 * dModel], initStd(dModel)),
    matrixSpec(`${prefix}.out`, [dModel, dModel], residualStd(dModel, numLayers)),
  ];
}

/**
 * Called with what a layer's attention works on, [T, 3 d]: queries, keys, values. The tensor lives in the
 * caller's tidy.
 */
export type AttentionInspector = (prefix: string, qkvTC: tf.Tensor2D) => void;

/** Causal multi-head self-attention with its input and output projections: [T, d] -> [T, d]. */
export function attention(
  parameters: ParameterSource,
  prefix: string,
  xTD: tf.Tensor2D,
  shape: AttentionShape,
  inspect?: AttentionInspector,
): tf.Tensor2D {
  const qkvTC = matMul(xTD, matrix(parameters, `${prefix}.qkv`));
  inspect?.(prefix, qkvTC);
  const attendedTD = consume([qkvTC], causalAttention(qkvTC, shape));
  return consume([attendedTD], matMul(attendedTD, matrix(parameters, `${prefix}.out`)));
}
