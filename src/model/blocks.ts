import {
  type Attention,
  type FeedForward,
  type Norm,
  networkOfExpert,
  type Projection,
} from '../architecture/architecture.js';
import { consume } from '../ops/autograd.js';
import type { FeedForwardWeights } from '../ops/kernels/kernels.js';
import {
  type AttentionShape,
  addBias,
  causalAttention,
  gatherRows,
  layerNorm,
  queriesKeysValues,
  rmsNorm,
} from '../ops/operations.js';
import { rotationBy } from '../ops/rotation.js';
import { tf } from '../ops/tensorflow.js';
import { matrix } from '../parameters/matrix.js';
import type { ParameterSource } from '../parameters/parameters.js';
import { adaptedMatrix, project } from './lora.js';

// The operations of an architecture's blocks, with gradients. Shapes: T tokens, S positions, d hidden size, H heads of
// queries, K of keys and values, h size of a head, C columns.

/** The positions of the tokens. */
export type Sequences = Omit<AttentionShape, 'numHeads' | 'numKeyValueHeads'>;

/** Normalises rows, or each head of wider rows: [T, d] -> [T, d]. */
export function normalised(norm: Norm, parameters: ParameterSource, xTD: tf.Tensor2D): tf.Tensor2D {
  const gain = parameters.get(norm.gain.name);
  return norm.op === 'layerNorm'
    ? layerNorm(xTD, gain, parameters.get(norm.bias.name))
    : rmsNorm(xTD, gain, norm.epsilon);
}

/**
 * Computes causal multi-head self-attention with its input and output projections: [T, d] -> [T, d].
 *
 * @param inspect called with queries, keys and values, [T, (H + 2 K) h]; the tensor lives in the caller's tidy
 */
export function attention(
  { numHeads, numKeyValueHeads, projections, rotation, out }: Attention,
  parameters: ParameterSource,
  xTD: tf.Tensor2D,
  sequences: Sequences,
  inspect?: (qkvTC: tf.Tensor2D) => void,
): tf.Tensor2D {
  const shape = { ...sequences, numHeads, numKeyValueHeads };
  const parts = projections.map((each) => projected(each, parameters, xTD, sequences));
  const turned = rotation && rotationBy(rotation);
  const qkvTC = parts.length === 1 ? parts[0]! : consume(parts, queriesKeysValues(parts, turned, shape));
  inspect?.(qkvTC);
  const attendedTC = consume([qkvTC], causalAttention(qkvTC, shape));
  return consume([attendedTC], project(parameters, out.name, attendedTC));
}

/** Computes the columns of a projection: [T, d] -> [T, C]. */
function projected(
  { of, weight, bias, headNorm }: Projection,
  parameters: ParameterSource,
  xTD: tf.Tensor2D,
  sequences: Sequences,
): tf.Tensor2D {
  const input = of === 'input' ? xTD : firstRows(matrix(parameters, of.name), sequences.seqLen);
  let columns = project(parameters, weight.name, input);
  if (bias !== null) columns = consume([columns], addBias(columns, parameters.get(bias.name)));
  if (headNorm !== null) columns = consume([columns], normalised(headNorm, parameters, columns));
  return of === 'input' ? columns : ofTokens(columns, sequences);
}

/** Returns the matrix itself if it has no other rows, as in training. */
function firstRows(xTD: tf.Tensor2D, count: number): tf.Tensor2D {
  return count === xTD.shape[0] ? xTD : tf.slice(xTD, 0, count);
}

/**
 * Returns the row of each token's position: [S, C] -> [T, C]. In PanGu's query layer (arXiv 2303.10845, section 3), row p is
 * the query of position p + 1, whose token is predicted at position p.
 */
function ofTokens(columnsSC: tf.Tensor2D, { numSequences, seqLen, positionsT }: Sequences): tf.Tensor2D {
  const ofRows = () => Int32Array.from({ length: numSequences * seqLen }, (_, row) => row % seqLen);
  return gatherRows(columnsSC, positionsT ?? ofRows());
}

/** Returns the matrices of a network, or of one expert's, with their low-rank pairs added. */
export function networkWeights(
  network: FeedForward,
  parameters: ParameterSource,
  expert?: number,
): FeedForwardWeights {
  const { into, out } = expert === undefined ? network : networkOfExpert(network, expert);
  return [...into, out].map(({ name }) => adaptedMatrix(parameters, name));
}
