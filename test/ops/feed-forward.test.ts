import * as tf from '@tensorflow/tfjs-node';
import { describe, it } from 'vitest';
import { feedForwards } from '../../src/ops/feed-forward.js';
import { checkGradients, expectClose, randomValues } from '../model/support.js';

const shapes = [
  [1, 3, 5],
  [4, 3, 8],
  [6, 8, 4],
] as const;

const cases = shapes.flatMap(([rows, d, f]) =>
  [true, false].flatMap((rowsVary) => [true, false].map((gated) => ({ rows, d, f, rowsVary, gated }))),
);

function hiddenOf([first, second]: readonly number[]): number {
  if (second !== undefined) return (first / (1 + Math.exp(-first))) * second;
  return 0.5 * first * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (first + 0.044715 * first ** 3)));
}

describe.each(cases)(
  'feedForward of $rows rows, $d -> $f, rows vary: $rowsVary, SwiGLU: $gated',
  ({ rows, d, f, rowsVary, gated }) => {
    const x = { shape: [rows, d], values: randomValues('x', rows * d) };
    const wIns = (gated ? ['gate', 'in'] : ['in']).map((name) => ({
      shape: [d, f],
      values: randomValues(name, d * f),
    }));
    const wOut = { shape: [f, d], values: randomValues('out', f * d) };
    const op = (...args: tf.Tensor[]) => {
      const [xTD, ...weights] = args as tf.Tensor2D[];
      return feedForwards(xTD, [weights], [rows], rowsVary ? 'varying' : 'fixed');
    };

    it('equals the loop', () => {
      const expected = new Float64Array(rows * d);
      for (let r = 0; r < rows; r++)
        for (let j = 0; j < f; j++) {
          const hidden = hiddenOf(
            wIns.map(({ values }) => {
              let before = 0;
              for (let i = 0; i < d; i++) before += x.values[r * d + i] * values[i * f + j];
              return before;
            }),
          );
          for (let i = 0; i < d; i++) expected[r * d + i] += hidden * wOut.values[j * d + i];
        }
      const actual = tf.tidy(() =>
        op(...[x, ...wIns, wOut].map(({ values, shape }) => tf.tensor(values, shape)))
          .dataSync()
          .slice(),
      );
      expectClose(actual, expected, 1e-5);
    });

    it('has the gradients of finite differences', () => {
      checkGradients(op, [x, ...wIns, wOut]);
    });
  },
);
