import * as tf from '@tensorflow/tfjs-node';
import { expect, it } from 'vitest';
import { addBias } from '../../src/ops/bias.js';
import { checkGradients, randomValues } from '../model/support.js';

it('addBias adds to every row, with the gradients of finite differences', () => {
  const x = { shape: [3, 5], values: randomValues('x', 15) };
  const bias = { shape: [5], values: randomValues('bias', 5) };
  const op = (...args: tf.Tensor[]) => addBias(args[0] as tf.Tensor2D, args[1]);
  const y = tf.tidy(() => op(tf.tensor(x.values, x.shape), tf.tensor(bias.values)).dataSync().slice());
  expect(y).toEqual(x.values.map((value, i) => value + bias.values[i % 5]));
  checkGradients(op, [x, bias]);
});
