import * as tf from '@tensorflow/tfjs-node';
import { describe, it } from 'vitest';
import { layerNormOnHost } from '../../src/ops/on-host.js';
import { layerNorm } from '../../src/ops/operations.js';
import { checkGradients, expectClose, randomValues } from '../model/support.js';

const shapes = [
  [1, 4],
  [3, 5],
  [7, 16],
] as const;

describe.each(shapes)('layerNorm of [%i, %i]', (rows, width) => {
  const x = { shape: [rows, width], values: randomValues('x', rows * width, 2) };
  const gain = { shape: [width], values: randomValues('gain', width) };
  const bias = { shape: [width], values: randomValues('bias', width) };

  it('equals the loop', () => {
    const expected = new Float64Array(rows * width);
    for (let r = 0; r < rows; r++) {
      const row = x.values.subarray(r * width, (r + 1) * width);
      const mean = row.reduce((sum, value) => sum + value, 0) / width;
      const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / width;
      row.forEach((value, i) => {
        expected[r * width + i] =
          ((value - mean) / Math.sqrt(variance + 1e-5)) * gain.values[i] + bias.values[i];
      });
    }
    const actual = tf.tidy(() =>
      layerNorm(tf.tensor2d(x.values, [rows, width]), tf.tensor1d(gain.values), tf.tensor1d(bias.values))
        .dataSync()
        .slice(),
    );
    expectClose(actual, expected, 1e-5);
    expectClose(layerNormOnHost(x.values, gain.values, bias.values), expected, 1e-5);
  });

  it('has the gradients of finite differences', () => {
    checkGradients((...args) => layerNorm(args[0], args[1], args[2]), [x, gain, bias]);
  });
});
