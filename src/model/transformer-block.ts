import type * as tf from '@tensorflow/tfjs-node';
import { consume } from '../ops/autograd.js';
import { feedForward } from '../ops/feed-forward.js';
import type { AttentionShape } from '../ops/operations.js';
import { residual } from '../ops/operations.js';
import type { ParameterSource, ParameterSpec } from '../parameters/parameters.js';
import { type AttentionInspector, attention, attentionSpecs } from './attention.js';
import { type FeedForwardSize, feedForwardSpecs, feedForwardWeights } from './feed-forward.js';
import { norm, normSpecs } from './layer-norm.js';

/** Parameter specs that dense and sparse layers share: both layer norms and the attention. */
export function attentionHalfSpecs(prefix: string, { dModel, numLayers }: FeedForwardSize): ParameterSpec[] {
  return [
    ...normSpecs(`${prefix}.ln_attn`, dModel),
    ...attentionSpecs(`${prefix}.attn`, dModel, numLayers),
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
