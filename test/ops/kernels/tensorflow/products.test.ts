import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import {
  product,
  transposedMatrix,
  transposedProduct,
} from '../../../../src/ops/kernels/tensorflow/products.js';

// A matrix of a million or more elements is transposed in two steps, and before the product if that has 512 or more
// rows.
const matrices = [
  [4096, 256],
  [512, 2048],
  [1100, 1000],
  [40, 7],
] as const;

describe.each(matrices)('a matrix [%i, %i]', (b, a) => {
  it('is transposed', () => {
    tf.tidy(() => {
      const w = tf.randomNormal<tf.Rank.R2>([b, a], 0, 1, 'float32', 1);
      const actual = transposedMatrix(w);
      expect(actual.shape).toEqual([a, b]);
      expect(tf.all(tf.equal(actual, tf.transpose(w))).dataSync()[0]).toBe(1);
    });
  });

  it.each([5, 512])('gives the same bits transposed first or by the product, %i rows', (rows) => {
    tf.tidy(() => {
      const w = tf.randomNormal([b, a], 0, 1, 'float32', 2);
      const x = tf.randomNormal([rows, a], 0, 1, 'float32', 3);
      const [actual, expected] = [transposedProduct(x, w), product(x, w, false, true)];
      expect(actual.shape).toEqual([rows, b]);
      expect(tf.all(tf.equal(actual, expected)).dataSync()[0]).toBe(1);
    });
  });
});
