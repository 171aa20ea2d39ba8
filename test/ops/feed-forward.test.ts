import type * as tf from '@tensorflow/tfjs-node';
import { it } from 'vitest';
import { feedForwards } from '../../src/ops/feed-forward.js';
import { checkOperation, input } from '../model/support.js';

const shapes = [
  [1, 8, 4],
  [4, 3, 8],
] as const;
const cases = shapes.flatMap(([rows, d, f]) =>
  [true, false].flatMap((rowsVary) => [true, false].map((gated) => ({ rows, d, f, rowsVary, gated }))),
);

function hiddenOf([first, second]: readonly number[]): number {
  if (second !== undefined) return (first / (1 + Math.exp(-first))) * second;
  return 0.5 * first * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (first + 0.044715 * first ** 3)));
}

it.each(cases)(
  'a network of $rows rows, $d -> $f, is that of a loop; rows vary: $rowsVary, SwiGLU: $gated',
  ({ rows, d, f, rowsVary, gated }) => {
    const x = input('x', [rows, d]);
    const wIns = (gated ? ['gate', 'in'] : ['in']).map((name) => input(name, [d, f]));
    const wOut = input('out', [f, d]);
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
    const op = (...args: tf.Tensor[]) => {
      const [xTD, ...weights] = args as tf.Tensor2D[];
      return feedForwards(xTD, [weights], [rows], rowsVary ? 'varying' : 'fixed');
    };
    checkOperation(op, [x, ...wIns, wOut], expected);
  },
);
