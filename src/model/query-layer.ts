import { consume } from '../ops/autograd.js';
import { type AttentionShape, causalAttention, gatherRows, residual } from '../ops/operations.js';
import { tf } from '../ops/tensorflow.js';
import { initStd, matrix, matrixSpec, residualStd } from '../parameters/matrix.js';
import type { ParameterSource, ParameterSpec } from '../parameters/parameters.js';
import { project } from './lora.js';
import { layerNorms } from './norms.js';
import type { AttentionInspector } from './transformer-block.js';
import { type FeedForwardSize, feedForwardSpecs } from './transformer-block.js';

// Shapes: B sequences, S positions, T = B S tokens, d hidden size.

export function queryLayerSpecs(prefix: string, size: FeedForwardSize, seqLen: number): ParameterSpec[] {
  const { dModel, numLayers } = size;
  return [
    {
      name: `${prefix}.positions`,
      shape: [seqLen, dModel],
      init: { kind: 'normal', std: initStd(dModel) },
      placement: 'shared',
      decay: false,
    },
    ...layerNorms.specs(`${prefix}.ln_attn`, dModel),
    matrixSpec(`${prefix}.attn.q`, [dModel, dModel], initStd(dModel)),
    matrixSpec(`${prefix}.attn.kv`, [dModel, 2 * dModel], initStd(dModel)),
    matrixSpec(`${prefix}.attn.out`, [dModel, dModel], residualStd(dModel, numLayers)),
    ...layerNorms.specs(`${prefix}.ln_ffn`, dModel),
    ...feedForwardSpecs(`${prefix}.ffn`, size),
  ];
}

/**
 * Computes the attention half of PanGu's query layer (arXiv 2303.10845, section 3), the last Transformer layer: queries
 * are a learned embedding of the next position; keys and values come from the layer-normed hidden state. A feed-forward
 * half follows. [T, d] -> [T, d]; consumes x.
 */
export function queryAttention(
  parameters: ParameterSource,
  prefix: string,
  xTD: tf.Tensor2D,
  shape: AttentionShape,
  inspect?: AttentionInspector,
): tf.Tensor2D {
  const normalTD = layerNorms.run(parameters, `${prefix}.ln_attn`, xTD);
  const keysValuesTC = consume([normalTD], project(parameters, `${prefix}.attn.kv`, normalTD));
  const queriesTD = queries(parameters, prefix, shape);
  const qkvTC = consume([queriesTD, keysValuesTC], tf.concat([queriesTD, keysValuesTC], 1));
  inspect?.(`${prefix}.attn`, qkvTC);
  const attendedTD = consume([qkvTC], causalAttention(qkvTC, shape));
  const outTD = consume([attendedTD], project(parameters, `${prefix}.attn.out`, attendedTD));
  return consume([outTD, xTD], residual(xTD, outTD));
}

/**
 * Returns the same [S, d] queries for every sequence, or segment: [T, d]. Row p is the query of position p + 1, whose
 * token is predicted at position p.
 */
function queries(
  parameters: ParameterSource,
  prefix: string,
  { numSequences, seqLen, positionsT }: AttentionShape,
): tf.Tensor2D {
  const positionsSD = tf.slice(matrix(parameters, `${prefix}.positions`), 0, seqLen);
  const queriesSD = project(parameters, `${prefix}.attn.q`, positionsSD);
  if (positionsT !== undefined) return gatherRows(queriesSD, positionsT);
  const size = seqLen * queriesSD.shape[1];
  const queriesBC = tf.broadcastTo(tf.reshape(queriesSD, [1, size]), [numSequences, size]);
  return tf.reshape(queriesBC, [numSequences * seqLen, queriesSD.shape[1]]);
}
