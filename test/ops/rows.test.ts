import * as tf from '@tensorflow/tfjs-node';
import { expect, it } from 'vitest';
import { gatherRows, scatterRows } from '../../src/ops/operations.js';
import { checkGradients, expectClose, input, resultOf } from '../model/support.js';

const d = 3;

it.each([[[]], [[3, 0, 3, 1]]])('gatherRows copies the rows %j, and its gradient adds them up', (indices) => {
  const x = input('x', [4, d]);
  const op = (y: tf.Tensor) => gatherRows(y as tf.Tensor2D, Int32Array.from(indices));
  const expected = indices.flatMap((row) => [...x.values.subarray(row * d, (row + 1) * d)]);
  expectClose(resultOf(op, [x]), expected, 0);
  const times = [0, 1, 2, 3].map((row) => indices.filter((index) => index === row).length);
  expectClose(
    resultOf((y) => tf.grad(op)(y), [x]),
    times.flatMap((count) => Array<number>(d).fill(count)),
    0,
  );
});

it.each([
  { name: 'no row', tokens: [], choices: [] },
  { name: 'one choice a token', tokens: [2, 0], choices: [4, 1] },
  { name: 'two choices a token', tokens: [0, 2, 0, 1], choices: [0, 5, 1, 2] },
])('scatterRows with $name is that of a loop, with weights and without', ({ tokens, choices }) => {
  const scatter = { numTokens: 3, tokensN: Int32Array.from(tokens), choicesN: Int32Array.from(choices) };
  const [rows, weights] = [input('rows', [tokens.length, d]), input('weights', [3, 2])];
  const op = (...args: tf.Tensor[]) =>
    scatterRows(args[0] as tf.Tensor2D, (args[1] as tf.Tensor2D | undefined) ?? null, scatter);
  for (const inputs of [[rows], [rows, weights]]) {
    const expected = new Float64Array(3 * d);
    tokens.forEach((token, row) => {
      const weight = inputs.length === 2 ? weights.values[choices[row]] : 1;
      for (let i = 0; i < d; i++) expected[token * d + i] += weight * rows.values[row * d + i];
    });
    expectClose(resultOf(op, inputs), expected, 1e-6);
    if (tokens.length > 0) checkGradients(op, inputs);
  }
  // Even without rows, gradients have the shapes of the inputs.
  const gradients = tf.tidy(() => {
    const tensors = [rows, weights].map(({ values, shape }) => tf.tensor(values, [...shape], 'float32'));
    return tf
      .grads(op)(tensors)
      .map(({ shape }) => shape);
  });
  expect(gradients).toEqual([rows.shape, weights.shape]);
});
