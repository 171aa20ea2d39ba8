import * as tf from '@tensorflow/tfjs-node';
import { expect, it } from 'vitest';
import { groupCosines } from '../../src/ops/group-cosines.js';
import { checkGradients, expectClose, randomValues } from '../model/support.js';

const x = { shape: [5, 6], values: randomValues('x', 30) };
const op = (...args: tf.Tensor[]) => groupCosines(args[0] as tf.Tensor2D, 3, 0.01);
const valuesOf = (rows: tf.Tensor) => tf.tidy(() => op(rows).dataSync<'float32'>().slice());

it('is the cosine of each row with each block of ones', () => {
  const expected = Array.from({ length: 5 * 3 }, (_, i) => {
    const row = x.values.subarray(6 * Math.floor(i / 3), 6 * Math.floor(i / 3) + 6);
    const norm = Math.sqrt(row.reduce((sum, each) => sum + each * each, 0.01));
    return (row[2 * (i % 3)] + row[2 * (i % 3) + 1]) / (Math.sqrt(2) * norm);
  });
  expectClose(valuesOf(tf.tensor(x.values, x.shape)), expected, 1e-6);
});

it('has the gradients of finite differences', () => {
  checkGradients(op, [x]);
});

it('leaves a row of zeros as it is', () => {
  expect([...valuesOf(tf.zeros([1, 6]))]).toEqual([0, 0, 0]);
});
