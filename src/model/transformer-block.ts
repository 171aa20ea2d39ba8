import { consume } from '../ops/autograd.js';
import { feedForward } from '../ops/feed-forward.js';
import { type FeedForwardWeights, partsOf } from '../ops/kernels/kernels.js';
import { type AttentionShape, causalAttention, residual } from '../ops/operations.js';
import type { tf } from '../ops/tensorflow.js';
import { initStd, matrixSpec, residualStd } from '../parameters/matrix.js';
import type { ParameterSource, ParameterSpec } from '../parameters/parameters.js';
import type { Family } from './family.js';
import { adaptedMatrix, project } from './lora.js';

export interface FeedForwardSize {
  readonly dModel: number;
  readonly dFeedForward: number;
  readonly numLayers: number;
  readonly family: Family;
}

export function feedForwardSpecs(
  prefix: string,
  { dModel, dFeedForward, numLayers, family }: FeedForwardSize,
  placement: ParameterSpec['placement'] = 'shared',
): ParameterSpec[] {
  const { wIns, wOut } = partsOf(family.feedForward);
  return [
    ...wIns.map((name) =>
      matrixSpec(`${prefix}.${name}`, [dModel, dFeedForward], initStd(dModel), placement),
    ),
    matrixSpec(`${prefix}.${wOut}`, [dFeedForward, dModel], residualStd(dModel, numLayers), placement),
  ];
}

/** Returns the matrices with the prefix `prefix`, with their low-rank pairs added. */
export function feedForwardWeights(
  parameters: ParameterSource,
  prefix: string,
  { feedForward }: Family,
): FeedForwardWeights {
  return feedForward.map((name) => adaptedMatrix(parameters, `${prefix}.${name}`));
}

/**
 * Called with the input of a layer's attention, [T, (H + 2 K) h]: queries, keys, values. The tensor lives in the caller's tidy.
 */
export type AttentionInspector = (prefix: string, qkvTC: tf.Tensor2D) => void;

/** Computes causal multi-head self-attention with its input and output projections: [T, d] -> [T, d]. */
function attention(
  { projection }: Family,
  parameters: ParameterSource,
  prefix: string,
  xTD: tf.Tensor2D,
  shape: AttentionShape,
  inspect?: AttentionInspector,
): tf.Tensor2D {
  const qkvTC = projection.run(parameters, prefix, xTD, shape);
  inspect?.(prefix, qkvTC);
  const attendedTD = consume([qkvTC], causalAttention(qkvTC, shape));
  return consume([attendedTD], project(parameters, `${prefix}.out`, attendedTD));
}

/** Returns the parameter specs that dense and sparse layers share: both norms and the attention. */
export function attentionHalfSpecs(
  prefix: string,
  { dModel, numLayers, family: { norm, projection } }: FeedForwardSize,
): ParameterSpec[] {
  return [
    ...norm.specs(`${prefix}.ln_attn`, dModel),
    ...projection.specs(`${prefix}.attn`, dModel),
    matrixSpec(`${prefix}.attn.out`, [projection.attended(dModel), dModel], residualStd(dModel, numLayers)),
    ...norm.specs(`${prefix}.ln_ffn`, dModel),
  ];
}

export function denseBlockSpecs(prefix: string, size: FeedForwardSize): ParameterSpec[] {
  return [...attentionHalfSpecs(prefix, size), ...feedForwardSpecs(`${prefix}.ffn`, size)];
}

/** Computes x + attention(norm(x)) and consumes x: [T, d] -> [T, d]. */
export function attentionHalf(
  family: Family,
  parameters: ParameterSource,
  prefix: string,
  xTD: tf.Tensor2D,
  shape: AttentionShape,
  inspect?: AttentionInspector,
): tf.Tensor2D {
  const normalTD = family.norm.run(parameters, `${prefix}.ln_attn`, xTD);
  const attendedTD = consume(
    [normalTD],
    attention(family, parameters, `${prefix}.attn`, normalTD, shape, inspect),
  );
  return consume([attendedTD, xTD], residual(xTD, attendedTD));
}

/** Computes x + feed-forward(norm(x)) and consumes x: [T, d] -> [T, d]. */
export function feedForwardHalf(
  family: Family,
  parameters: ParameterSource,
  prefix: string,
  xTD: tf.Tensor2D,
): tf.Tensor2D {
  const normalTD = family.norm.run(parameters, `${prefix}.ln_ffn`, xTD);
  const weights = feedForwardWeights(parameters, `${prefix}.ffn`, family);
  const yTD = consume([normalTD], feedForward(normalTD, weights));
  return consume([yTD, xTD], residual(xTD, yTD));
}
