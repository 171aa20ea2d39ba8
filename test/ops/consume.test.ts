import * as tf from '@tensorflow/tfjs-node';
import { expect, it } from 'vitest';
import { consume } from '../../src/ops/autograd.js';
import { matMul } from '../../src/ops/operations.js';

const matrix = (seed: number) => tf.randomNormal<tf.Rank.R2>([4, 4], 0, 1, 'float32', seed);

it('frees a tensor whose backward still has what it saved', () => {
  tf.tidy(() => {
    const [x, w, v] = [1, 2, 3].map(matrix);
    let hidden: tf.Tensor2D | undefined;
    const freeing = (each: tf.Tensor2D) => {
      hidden = matMul(each, w);
      return consume([hidden], matMul(hidden, v));
    };
    const [freed] = tf.grads((each: tf.Tensor) => freeing(each as tf.Tensor2D))([x]);
    expect(hidden!.isDisposed).toBe(true);
    const [kept] = tf.grads((each: tf.Tensor) => matMul(matMul(each as tf.Tensor2D, w), v))([x]);
    expect([...freed.dataSync()]).toEqual([...kept.dataSync()]);
  });
});

it('keeps a tensor that is the result', () => {
  tf.tidy(() => {
    const x = matrix(1);
    expect(consume([x], x).isDisposed).toBe(false);
  });
});
