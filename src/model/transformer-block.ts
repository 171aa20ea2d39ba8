import { consume } from '../ops/autograd.js';
import { feedForward } from '../ops/feed-forward.js';
import type { FeedForwardWeights } from '../ops/kernels/kernels.js';
import { type AttentionShape, causalAttention, layerNorm, matMul, residual } from '../ops/operations.js';
import type { tf } from '../ops/tensorflow.js';
import { initStd, matrix, matrixSpec, residualStd } from '../parameters/matrix.js';
import type { ParameterSource, ParameterSpec } from '../parameters/parameters.js';

export function normSpecs(prefix: string, dModel: number): ParameterSpec[] {
  const shared = { shape: [dModel], placement: 'shared', decay: false } as const;
  return [
    { ...shared, name: `${prefix}.gain`, init: { kind: 'constant', value: 1 } },
    { ...shared, name: `${prefix}.bias`, init: { kind: 'constant', value: 0 } },
  ];
}

/** Layer norm with the gain and bias named `prefix`: [T, d] -> [T, d]. */
export function norm(parameters: ParameterSource, prefix: string, xTD: tf.Tensor2D): tf.Tensor2D {
  return layerNorm(xTD, parameters.get(`${prefix}.gain`), parameters.get(`${prefix}.bias`));
}

export interface FeedForwardSize {
  readonly dModel: number;
  readonly dFeedForward: number;
  readonly numLayers: number;
}

export function feedForwardSpecs(
  prefix: string,
  { dModel, dFeedForward, numLayers }: FeedForwardSize,
  placement: ParameterSpec['placement'] = 'shared',
): ParameterSpec[] {
  return [
    matrixSpec(`${prefix}.w_in`, [dModel, dFeedForward], initStd(dModel), placement),
    matrixSpec(`${prefix}.w_out`, [dFeedForward, dModel], residualStd(dModel, numLayers), placement),
  ];
}

/** The matrices named `prefix`. */
export function feedForwardWeights(parameters: ParameterSource, prefix: string): FeedForwardWeights {
  return { wInDF: matrix(parameters, `${prefix}.w_in`), wOutFD: matrix(parameters, `${prefix}.w_out`) };
}

/**
 * Called with what a layer's attention works on, [T, 3 d]: queries, keys, values. The tensor lives in the
 * caller's tidy.
 */
export type AttentionInspector = (prefix: string, qkvTC: tf.Tensor2D) => void;

/** Causal multi-head self-attention with its input and output projections: [T, d] -> [T, d]. */
function attention(
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

/** Parameter specs that dense and sparse layers share: both layer norms and the attention. */
export function attentionHalfSpecs(prefix: string, { dModel, numLayers }: FeedForwardSize): ParameterSpec[] {
  return [
    ...normSpecs(`${prefix}.ln_attn`, dModel),
    matrixSpec(`${prefix}.attn.qkv`, [dModel, 3 * dModel], initStd(dModel)),
    matrixSpec(`${prefix}.attn.out`, [dModel, dModel], residualStd(dModel, numLayers)),
    ...normSpecs(`${prefix}.ln_ffn`, dModel),
  ];
}

export function denseBlockSpecs(prefix: string, size: FeedForwardSize): ParameterSpec[] {
  return [...attentionHalfSpecs(prefix, size), ...feedForwardSpecs(`${prefix}.ffn`, size)];
}

/** x + attention(layer norm(x)), the last use of x: [T, d] -> [T, d]. */
export function attentionHalf(
  parameters: ParameterSource,
  prefix: string,
  xTD: tf.Tensor2D,
  shape: AttentionShape,
  inspect?: AttentionInspector,
): tf.Tensor2D {
  const normalTD = norm(parameters, `${prefix}.ln_attn`, xTD);
  const attendedTD = consume([normalTD], attention(parameters, `${prefix}.attn`, normalTD, shape, inspect));
  return consume([attendedTD, xTD], residual(xTD, attendedTD));
}

/** x + feed-forward(layer norm(x)), the last use of x: [T, d] -> [T, d]. */
export function feedForwardHalf(parameters: ParameterSource, prefix: string, xTD: tf.Tensor2D): tf.Tensor2D {
  const normalTD = norm(parameters, `${prefix}.ln_ffn`, xTD);
  const weights = feedForwardWeights(parameters, `${prefix}.ffn`);
  const yTD = consume([normalTD], feedForward(normalTD, weights));
  return consume([yTD, xTD], residual(xTD, yTD));
}
