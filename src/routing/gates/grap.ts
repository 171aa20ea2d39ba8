import { z } from 'zod';
import { leastCommonMultiple, multiplesAround } from '../../multiples.js';
import { groupCosines } from '../../ops/group-cosines.js';
import { exactMatMul } from '../../ops/operations.js';
import { tf } from '../../ops/tensorflow.js';
import { rowNorms, unitRows } from '../../ops/unit-rows.js';
import type { CommonMoe } from '../common-fields.js';
import { type MoeRule, type MoeWith, type RouterParameter, unless } from '../policy.js';

// Shapes: T tokens, d hidden size, E experts, m = d / E coordinates of a group.
//
// Grouped average pooling (GrAP; LocMoE, arXiv 2401.13920, eq. 4; ETR, arXiv 2406.00023, eq. 3): gate w_i is E/d on the
// i-th group of coordinates and 0 elsewhere, so w_i . x is the mean of the group. There is no [d, E] weight; the cost
// is O(d) per token. Learned groups (ETR eq. 2) train one factor per coordinate: w_i is E/d times those of its group.

export const grapFields = {
  learnedGroups: z
    .boolean()
    .default(false)
    .describe('train the d non-zero gate weights instead of fixed GrAP'),
};

/** Requires a group of coordinates of equal size for each expert. */
export const groupsDivide: MoeRule<CommonMoe> = ({ numExperts }, { dModel, numHeads }) =>
  unless(
    dModel % numExperts === 0,
    'numExperts',
    `the router cuts dModel ${dModel} into one group for each expert: ${numExperts} does not divide it; ` +
      `model.dModel ${multiplesAround(dModel, leastCommonMultiple(numExperts, numHeads))} would do`,
  );

/** Keeps the cosine of a zero vector finite; far less than the norm of a normalised activation. */
export const LEAST_SQUARED_NORM = 1e-12;
const LEAST_NORM = Math.sqrt(LEAST_SQUARED_NORM);

/** Returns the gate parameters: none for GrAP; for learned groups d factors, initially 1 (GrAP). */
export function grapSpecs(
  { learnedGroups }: Pick<MoeWith<typeof grapFields>, 'learnedGroups'>,
  dModel: number,
): RouterParameter[] {
  if (!learnedGroups) return [];
  return [{ name: 'blocks', shape: [dModel], init: { kind: 'constant', value: 1 } }];
}

/**
 * Computes x . w_i / |w_i| with the GrAP gates, [T, d] -> [T, E]: unit variance for independent coordinates of unit
 * variance, whatever d and E. Learned factors scale it.
 *
 * @param blocksD learned factors, null for GrAP
 */
export function groupProjection(
  xTD: tf.Tensor2D,
  numExperts: number,
  blocksD: tf.Tensor1D | null,
): tf.Tensor2D {
  return exactMatMul(xTD, gates(xTD.shape[1], numExperts, blocksD));
}

/** Returns the gates w_i / |w_i|, or the gates of GrAP times the learned factors: [d, E]. */
function gates(dModel: number, numExperts: number, blocksD: tf.Tensor1D | null): tf.Tensor2D {
  const width = dModel / numExperts;
  const values = new Float32Array(dModel * numExperts);
  for (let i = 0; i < dModel; i++) values[i * numExperts + Math.floor(i / width)] = 1 / Math.sqrt(width);
  const grapDE = tf.tensor2d(values, [dModel, numExperts]);
  return blocksD === null ? grapDE : tf.mul(grapDE, tf.reshape(blocksD, [dModel, 1]));
}

/** Computes delta_{t,i} = cos(x_t, w_i) (ETR eq. 4), [T, d] -> [T, E], differentiable in x and the blocks. */
export function cosineAffinity(
  xTD: tf.Tensor2D,
  numExperts: number,
  blocksD: tf.Tensor1D | null,
): tf.Tensor2D {
  if (blocksD === null) return groupCosines(xTD, numExperts, LEAST_SQUARED_NORM);
  return ofUnitGates(groupProjection(unitRows(xTD, LEAST_SQUARED_NORM), numExperts, blocksD), blocksD);
}

/** Returns the cosines that belong to products computed by `groupProjection`, without a gradient. */
export function cosinesOfProjection(
  projectionTE: tf.Tensor2D,
  xTD: tf.Tensor2D,
  blocksD: tf.Tensor1D | null,
): tf.Tensor2D {
  const cosinesTE: tf.Tensor2D = tf.div(projectionTE, tf.maximum(rowNorms(xTD), LEAST_NORM));
  return blocksD === null ? cosinesTE : ofUnitGates(cosinesTE, blocksD);
}

/** Divides products with learned gates by the norms of the gates. */
function ofUnitGates(productsTE: tf.Tensor2D, blocksD: tf.Tensor1D): tf.Tensor2D {
  const squaresE = tf.mean(tf.square(tf.reshape(blocksD, [productsTE.shape[1], -1])), 1);
  return tf.div(productsTE, tf.sqrt(tf.add(squaresE, LEAST_SQUARED_NORM)));
}
