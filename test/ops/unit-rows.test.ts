import * as tf from '@tensorflow/tfjs-node';
import { expect, it } from 'vitest';
import { unitRows } from '../../src/ops/unit-rows.js';
import { checkGradients, expectClose, randomValues } from '../model/support.js';

const x = { shape: [5, 4], values: randomValues('x', 20) };
const op = (...args: tf.Tensor[]) => unitRows(args[0] as tf.Tensor2D, 0.01);

it('divides each row by its length', () => {
  const expected = x.values.map((value, i) => {
    const row = x.values.subarray(4 * Math.floor(i / 4), 4 * Math.floor(i / 4) + 4);
    return value / Math.sqrt(row.reduce((sum, each) => sum + each * each, 0.01));
  });
  expectClose(
    tf.tidy(() => op(tf.tensor(x.values, x.shape)).dataSync().slice()),
    expected,
    1e-6,
  );
});

it('has the gradients of finite differences', () => {
  checkGradients(op, [x]);
});

it('leaves a row of zeros as it is', () => {
  expect([
    ...tf.tidy(() =>
      op(tf.zeros([1, 4]))
        .dataSync()
        .slice(),
    ),
  ]).toEqual([0, 0, 0, 0]);
});
