import * as tf from '@tensorflow/tfjs-node';
import { expect, it } from 'vitest';
import { tiedCrossEntropy } from '../../src/ops/operations.js';
import { checkOperation, expectClose, input, randomIntegers } from '../model/support.js';

it.each([
  [1, 2, 3],
  [8, 4, 11],
])('tiedCrossEntropy of %i tokens, d %i, vocabulary %i is that of a loop', (tokens, d, vocab) => {
  const [x, embedding] = [input('x', [tokens, d]), input('e', [vocab, d])];
  const targets = randomIntegers('targets', tokens, vocab);
  const expected = Array.from(targets, (target, t) => {
    const logits = Array.from({ length: vocab }, (_, v) => {
      let dot = 0;
      for (let i = 0; i < d; i++) dot += x.values[t * d + i] * embedding.values[v * d + i];
      return dot;
    });
    return Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0)) - logits[target];
  });
  const op = (...args: tf.Tensor[]) =>
    tiedCrossEntropy(args[0] as tf.Tensor2D, args[1] as tf.Tensor2D, targets);
  checkOperation(op, [x, embedding], expected);
});

it('tiedCrossEntropy stays finite for huge logits', () => {
  const [loss, gradient] = tf.tidy(() => {
    const x = tf.tensor2d([300, -300], [1, 2]);
    const embedding = tf.tensor2d([1, 0, 0, 1, -1, 0], [3, 2]);
    const f = (y: tf.Tensor) => tiedCrossEntropy(y as tf.Tensor2D, embedding, Int32Array.of(1));
    return [f(x), tf.grad(f)(x)].map((tensor) => [...tensor.dataSync()]);
  });
  expectClose(loss, [600], 1e-6);
  expectClose(gradient, [1, -1], 1e-6);
  expect(loss.every(Number.isFinite)).toBe(true);
});
