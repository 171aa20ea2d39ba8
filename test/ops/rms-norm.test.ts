import * as tf from '@tensorflow/tfjs-node';
import { describe, it } from 'vitest';
import { rmsNorm, rmsNormOnHost } from '../../src/ops/rms-norm.js';
import { checkGradients, expectClose, randomValues } from '../model/support.js';

/** Rows of x, width of each, and its heads, which are normed each. */
const shapes = [
  [1, 4, 1],
  [3, 5, 1],
  [7, 16, 1],
  [3, 4, 2],
] as const;

describe.each(shapes)('rmsNorm of [%i, %i], heads %i', (tokens, width, heads) => {
  const rows = tokens * heads;

  // Large enough for the result to tell it from no epsilon.
  const epsilon = 0.1;
  const x = { shape: [tokens, heads * width], values: randomValues('x', rows * width, 2) };
  const gain = { shape: [width], values: randomValues('gain', width) };

  it('equals the loop', () => {
    const expected = Array.from({ length: rows }, (_, r) => {
      const row = [...x.values.subarray(r * width, (r + 1) * width)];
      const squares = row.reduce((sum, value) => sum + value ** 2, 0);
      return row.map((value, i) => (gain.values[i] * value) / Math.sqrt(squares / width + epsilon));
    }).flat();
    const actual = tf.tidy(() =>
      rmsNorm(tf.tensor2d(x.values, [tokens, heads * width]), tf.tensor1d(gain.values), epsilon)
        .dataSync()
        .slice(),
    );
    expectClose(actual, Float64Array.from(expected), 1e-6);
    expectClose(rmsNormOnHost(x.values, gain.values, epsilon), Float64Array.from(expected), 1e-6);
  });

  it('has the gradients of finite differences', () => {
    checkGradients((...args) => rmsNorm(args[0] as tf.Tensor2D, args[1], epsilon), [x, gain]);
  });
});
