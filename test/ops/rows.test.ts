import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import { gatherRows, scatterRows } from '../../src/ops/operations.js';
import { checkGradients, expectClose, randomValues } from '../model/support.js';

const d = 3;

describe.each([[[]], [[2]], [[3, 0, 3, 1]]])('gatherRows of rows %j', (indices) => {
  const x = { shape: [4, d], values: randomValues('x', 4 * d) };
  const op = (y: tf.Tensor) => gatherRows(y as tf.Tensor2D, Int32Array.from(indices));

  it('copies the rows, and its gradient adds them up', () => {
    const rows = tf.tidy(() =>
      op(tf.tensor2d(x.values, [4, d]))
        .dataSync()
        .slice(),
    );
    const expected = indices.flatMap((row) => [...x.values.subarray(row * d, (row + 1) * d)]);
    expectClose(rows, expected, 0);
    const gradient = tf.tidy(() =>
      tf
        .grad(op)(tf.tensor2d(x.values, [4, d]))
        .dataSync()
        .slice(),
    );
    const times = Array.from({ length: 4 }, (_, row) => indices.filter((index) => index === row).length);
    expectClose(
      gradient,
      times.flatMap((count) => Array<number>(d).fill(count)),
      0,
    );
  });
});

describe.each([
  { name: 'no row', tokens: [], choices: [] },
  { name: 'one choice a token', tokens: [2, 0], choices: [4, 1] },
  { name: 'two choices a token', tokens: [0, 2, 0, 1], choices: [0, 5, 1, 2] },
])('scatterRows with $name', ({ tokens, choices }) => {
  const numTokens = 3;
  const scatter = {
    numTokens,
    tokensN: Int32Array.from(tokens),
    choicesN: Int32Array.from(choices),
  };
  const rows = { shape: [tokens.length, d], values: randomValues('rows', tokens.length * d) };
  const weights = { shape: [numTokens, 2], values: randomValues('weights', numTokens * 2) };
  const op = (...args: tf.Tensor[]) =>
    scatterRows(args[0] as tf.Tensor2D, (args[1] as tf.Tensor2D | undefined) ?? null, scatter);

  it.each([true, false])('equals the loop (weighted: %s)', (weighted) => {
    const expected = new Float64Array(numTokens * d);
    tokens.forEach((token, row) => {
      for (let i = 0; i < d; i++)
        expected[token * d + i] += (weighted ? weights.values[choices[row]] : 1) * rows.values[row * d + i];
    });
    const inputs = weighted ? [rows, weights] : [rows];
    const actual = tf.tidy(() =>
      op(...inputs.map(({ values, shape }) => tf.tensor(values, shape, 'float32')))
        .dataSync()
        .slice(),
    );
    expectClose(actual, expected, 1e-6);
  });

  it('has the gradients of finite differences', () => {
    if (tokens.length > 0) checkGradients(op, [rows]);
    const gradients = tf.tidy(() =>
      tf
        .grads(op)([tf.tensor(rows.values, rows.shape, 'float32'), tf.tensor(weights.values, weights.shape)])
        .map((gradient) => gradient.shape),
    );
    expect(gradients).toEqual([rows.shape, weights.shape]);
    if (tokens.length > 0) checkGradients(op, [rows, weights]);
  });
});
