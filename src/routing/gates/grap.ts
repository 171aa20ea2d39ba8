import { z } from 'zod';
import { leastCommonMultiple, multiplesAround } from '../../multiples.js';
import { combine, groupNorms } from '../../ops/elementwise.js';
import { groupProducts, unitRows } from '../../ops/operations.js';
import type { tf } from '../../ops/tensorflow.js';
import type { CommonMoe } from '../common-fields.js';
import { type MoeRule, type MoeWith, type RouterParameter, unless } from '../policy.js';
import { cosinesOfProducts } from './cosines.js';

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

/** Returns the gate parameters: none for GrAP; for learned groups d factors, initially 1 (GrAP). */
export function grapSpecs(
  { learnedGroups }: Pick<MoeWith<typeof grapFields>, 'learnedGroups'>,
  dModel: number,
): RouterParameter[] {
  if (!learnedGroups) return [];
  return [{ name: 'blocks', shape: [dModel], init: { kind: 'constant', value: 1 } }];
}

/** Computes delta_{t,i} = cos(x_t, w_i) (ETR eq. 4), [T, d] -> [T, E], differentiable in x and the blocks. */
export function cosineAffinity(
  xTD: tf.Tensor2D,
  numExperts: number,
  blocksD: tf.Tensor1D | null,
): tf.Tensor2D {
  const productsTE = groupProducts(unitRows(xTD, LEAST_SQUARED_NORM), numExperts, blocksD);
  if (blocksD === null) return productsTE;
  return combine('divide', productsTE, groupNorms(blocksD, numExperts, LEAST_SQUARED_NORM));
}

/** Returns the cosines that belong to `groupProducts`, row-major [T, E], without a gradient. */
export function cosinesOfProjection(
  projectionTE: tf.Tensor2D,
  xTD: tf.Tensor2D,
  blocksD: tf.Tensor1D | null,
): Float32Array {
  const numExperts = projectionTE.shape[1];
  const norms =
    blocksD === null
      ? new Float32Array(numExperts).fill(1)
      : groupNorms(blocksD, numExperts, LEAST_SQUARED_NORM).dataSync<'float32'>();
  return cosinesOfProducts(projectionTE, xTD, norms);
}
