import * as tf from '@tensorflow/tfjs-node';
import { expect, it } from 'vitest';
import { groupNorms } from '../../src/ops/elementwise.js';
import { layerNormOnHost, rmsNormOnHost } from '../../src/ops/on-host.js';
import { addBias, groupProducts, layerNorm, rmsNorm, unitRows } from '../../src/ops/operations.js';
import { checkOperation, expectClose, input } from '../model/support.js';

/** Rows of `width` values. */
function rowsOf(values: Float32Array, width: number): number[][] {
  return Array.from({ length: values.length / width }, (_, r) => [
    ...values.subarray(r * width, (r + 1) * width),
  ]);
}

const sumOf = (row: readonly number[], of: (value: number) => number) =>
  row.reduce((sum, value) => sum + of(value), 0);
const square = (value: number) => value ** 2;

it.each([
  [1, 4],
  [7, 16],
])('layerNorm of [%i, %i] is that of a loop, also on the host', (rows, width) => {
  const [x, gain, bias] = [input('x', [rows, width], 2), input('gain', [width]), input('bias', [width])];
  const expected = rowsOf(x.values, width).flatMap((row) => {
    const mean = sumOf(row, (value) => value) / width;
    const variance = sumOf(row, (value) => (value - mean) ** 2) / width;
    return row.map(
      (value, i) => ((value - mean) / Math.sqrt(variance + 1e-5)) * gain.values[i] + bias.values[i],
    );
  });
  checkOperation((...args) => layerNorm(args[0], args[1], args[2]), [x, gain, bias], expected);
  expectClose(layerNormOnHost(x.values, gain.values, bias.values, 1e-5), expected, 1e-5);
});

it.each([
  [7, 16, 1],
  [3, 4, 2],
])('rmsNorm of [%i, %i], by each of %i heads, is that of a loop, also on the host', (rows, width, heads) => {
  // Epsilon is large enough to affect the result.
  const epsilon = 0.1;
  const [x, gain] = [input('x', [rows, heads * width], 2), input('gain', [width])];
  const expected = rowsOf(x.values, width).flatMap((row) =>
    row.map((value, i) => (gain.values[i] * value) / Math.sqrt(sumOf(row, square) / width + epsilon)),
  );
  checkOperation((...args) => rmsNorm(args[0] as tf.Tensor2D, args[1], epsilon), [x, gain], expected);
  expectClose(rmsNormOnHost(x.values, gain.values, epsilon), expected, 1e-6);
});

it('unitRows divides each row by its length, and leaves a row of zeros', () => {
  const op = (rows: tf.Tensor) => unitRows(rows as tf.Tensor2D, 0.01);
  const x = input('x', [5, 4]);
  const expected = rowsOf(x.values, 4).flatMap((row) =>
    row.map((value) => value / Math.sqrt(sumOf(row, square) + 0.01)),
  );
  checkOperation(op, [x], expected);
  expect([...tf.tidy(() => op(tf.zeros([1, 4])).dataSync())]).toEqual([0, 0, 0, 0]);
});

it.each([
  [5, 12, 3, 'with'],
  [3, 8, 8, 'with'],
  [4, 70, 2, 'without'],
])(
  'groupProducts of [%i, %i] in %i groups are those of a loop, %s factors',
  (rows, d, numGroups, withFactors) => {
    const size = d / numGroups;
    const [x, factors] = [input('x', [rows, d]), input('factors', [d])];
    const inputs = withFactors === 'with' ? [x, factors] : [x];
    const expected = rowsOf(x.values, size).map((group, i) => {
      const begin = (i % numGroups) * size;
      const sum = group.reduce((all, value, at) => all + value * (inputs[1]?.values[begin + at] ?? 1), 0);
      return sum / Math.sqrt(size);
    });
    const op = (xTD: tf.Tensor, factorsD?: tf.Tensor) =>
      groupProducts(xTD as tf.Tensor2D, numGroups, (factorsD as tf.Tensor1D | undefined) ?? null);
    checkOperation(op, inputs, expected);
  },
);

it('groupProducts refuse groups of different sizes', () => {
  expect(() => groupProducts(tf.zeros([2, 10]), 4, null)).toThrow(
    '10 coordinates are no 4 groups of equal size',
  );
});

it('groupNorms are the root mean squares of the groups, and never 0', () => {
  const op = (factors: tf.Tensor) => groupNorms(factors as tf.Tensor1D, 3, 0.01);
  const x = input('x', [6]);
  const expected = [0, 2, 4].map((i) => Math.sqrt((x.values[i] ** 2 + x.values[i + 1] ** 2) / 2 + 0.01));
  checkOperation(op, [x], expected);
  expect([...tf.tidy(() => op(tf.zeros([6])).dataSync())]).toEqual(Array(3).fill(Math.fround(0.1)));
});

it('addBias adds to every row', () => {
  const [x, bias] = [input('x', [3, 5]), input('bias', [5])];
  const expected = x.values.map((value, i) => value + bias.values[i % 5]);
  checkOperation((...args) => addBias(args[0] as tf.Tensor2D, args[1]), [x, bias], expected);
});
