import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import { groupProducts } from '../../../src/ops/operations.js';
import { cosineAffinity, grapSpecs } from '../../../src/routing/gates/grap.js';
import { checkGradients, expectClose, randomValues } from '../../model/support.js';

describe.each([
  [1, 4, 2],
  [7, 12, 3],
  [20, 16, 16],
  [5, 8, 1],
])('GrAP gates of %i tokens, d = %i, %i experts', (numTokens, d, numExperts) => {
  const x = randomValues('x', numTokens * d);
  const learned = randomValues('blocks', d).map((value) => 1 + 0.3 * value);

  /** The dense weights of LocMoE eq. 4, times the learned factors. */
  const dense = (blocks: Float32Array | null) =>
    Array.from({ length: numExperts }, (_, i) =>
      Array.from({ length: d }, (_unused, j) =>
        Math.floor((j * numExperts) / d) === i ? (numExperts / d) * (blocks?.[j] ?? 1) : 0,
      ),
    );
  const dot = (t: number, w: number[]) => w.reduce((sum, value, j) => sum + value * x[t * d + j], 0);
  const norm = (values: Iterable<number>) => Math.hypot(...values);
  const slow = (of: (t: number, i: number) => number) =>
    Array.from({ length: numTokens * numExperts }, (_, k) => of(Math.floor(k / numExperts), k % numExperts));
  const tensors = (blocks: Float32Array | null) =>
    [tf.tensor2d(x, [numTokens, d]), numExperts, blocks && tf.tensor1d(blocks)] as const;

  it.each([
    ['GrAP', null],
    ['learned', learned],
  ])('%s: projection and cosine equal the dense loop', (_, blocks) => {
    const w = dense(blocks);
    const unit = norm(dense(null)[0]);
    expectClose(
      groupProducts(...tensors(blocks)).dataSync(),
      slow((t, i) => dot(t, w[i]) / unit),
      1e-5,
    );
    const cosine = (t: number, i: number) => dot(t, w[i]) / norm(w[i]) / norm(x.subarray(t * d, t * d + d));
    expectClose(cosineAffinity(...tensors(blocks)).dataSync(), slow(cosine), 1e-5);
  });

  it('learned groups start as GrAP, with d parameters', () => {
    const [spec] = grapSpecs({ learnedGroups: true }, d);
    expect(spec).toMatchObject({ shape: [d], init: { kind: 'constant', value: 1 } });
    expect(grapSpecs({ learnedGroups: false }, d)).toEqual([]);
    const ones = new Float32Array(d).fill(1);
    for (const op of [groupProducts, cosineAffinity])
      expectClose(op(...tensors(ones)).dataSync(), op(...tensors(null)).dataSync(), 1e-6);
  });

  it('gradients reach tokens and blocks', () => {
    const inputs = [
      { shape: [numTokens, d], values: x },
      { shape: [d], values: learned },
    ];
    for (const op of [groupProducts, cosineAffinity]) {
      checkGradients((xTD) => op(xTD as tf.Tensor2D, numExperts, null), inputs.slice(0, 1));
      checkGradients((xTD, b) => op(xTD as tf.Tensor2D, numExperts, b as tf.Tensor1D), inputs);
    }
  });
});

it('the cosine of a zero token is zero', () => {
  expect([...cosineAffinity(tf.zeros([1, 4]), 2, null).dataSync()]).toEqual([0, 0]);
});

it('groups that do not divide the coordinates are refused', () => {
  expect(() => groupProducts(tf.zeros([2, 6]), 4, null)).toThrow(
    '6 coordinates are no 4 groups of equal size',
  );
});
