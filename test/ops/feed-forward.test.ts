import * as tf from '@tensorflow/tfjs-node';
import { describe, it } from 'vitest';
import { feedForwards } from '../../src/ops/feed-forward.js';
import { checkGradients, expectClose, randomValues } from '../model/support.js';

const shapes = [
  [1, 3, 5],
  [4, 3, 8],
  [6, 8, 4],
] as const;

const cases = shapes.flatMap(([rows, d, f]) => [true, false].map((rowsVary) => ({ rows, d, f, rowsVary })));

describe.each(cases)(
  'feedForward of $rows rows, $d -> $f, rows vary: $rowsVary',
  ({ rows, d, f, rowsVary }) => {
    const x = { shape: [rows, d], values: randomValues('x', rows * d) };
    const wIn = { shape: [d, f], values: randomValues('in', d * f) };
    const wOut = { shape: [f, d], values: randomValues('out', f * d) };
    const op = (...args: tf.Tensor[]) =>
      feedForwards(
        args[0] as tf.Tensor2D,
        [{ wInDF: args[1] as tf.Tensor2D, wOutFD: args[2] as tf.Tensor2D }],
        [rows],
        rowsVary ? 'varying' : 'fixed',
      );

    it('equals the loop', () => {
      const expected = new Float64Array(rows * d);
      for (let r = 0; r < rows; r++)
        for (let j = 0; j < f; j++) {
          let before = 0;
          for (let i = 0; i < d; i++) before += x.values[r * d + i] * wIn.values[i * f + j];
          const hidden =
            0.5 * before * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (before + 0.044715 * before ** 3)));
          for (let i = 0; i < d; i++) expected[r * d + i] += hidden * wOut.values[j * d + i];
        }
      const actual = tf.tidy(() =>
        op(...[x, wIn, wOut].map(({ values, shape }) => tf.tensor(values, shape)))
          .dataSync()
          .slice(),
      );
      expectClose(actual, expected, 1e-5);
    });

    it('has the gradients of finite differences', () => {
      checkGradients(op, [x, wIn, wOut]);
    });
  },
);
