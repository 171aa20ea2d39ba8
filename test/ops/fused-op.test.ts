import * as tf from '@tensorflow/tfjs-node';
import { expect, it } from 'vitest';
import { fusedOp, onGradient, parameterLeaf } from '../../src/ops/autograd.js';
import { differentiate } from '../../src/ops/backward.js';
import { residual } from '../../src/ops/operations.js';

const square = (x: tf.Tensor2D) =>
  fusedOp<tf.Tensor2D>([x], () => ({
    value: tf.square(x),
    saved: [x],
    backward: (dy, [kept]) => [tf.mul(dy, tf.mul(kept, 2))],
  }));

/** Number of tensors alive when the backward pass has reached the lowest of `numLayers` layers. */
function aliveAtTheEnd(numLayers: number, operation: (x: tf.Tensor2D) => tf.Tensor2D = square): number {
  let alive = 0;
  tf.tidy(() => {
    const x = tf.tensor2d([[0.1, 0.2]]);
    differentiate(() => {
      let y = parameterLeaf(x, () => {
        alive = tf.memory().numTensors;
      }) as tf.Tensor2D;
      for (let layer = 0; layer < numLayers; layer++)
        y = residual(
          y,
          onGradient(operation(y), () => undefined),
        );
      return tf.sum(y);
    }, [x]);
  });
  return alive;
}

it('a backward pass frees the gradients that it took and the tensors that were saved', () => {
  for (const operation of [square, tf.square])
    expect(aliveAtTheEnd(8, operation)).toBe(aliveAtTheEnd(4, operation));
});

it('the gradient through both branches of a residual is right', () => {
  const [slope] = tf.tidy(() => {
    const f = (x: tf.Tensor) => tf.sum(residual(square(x as tf.Tensor2D), square(x as tf.Tensor2D)));
    return [
      tf
        .grad(f)(tf.tensor2d([[3, -1]]))
        .dataSync()
        .slice(),
    ];
  });
  expect([...slope]).toEqual([12, -4]);
});

it('leaves no tensor behind', () => {
  aliveAtTheEnd(3);
  const before = tf.memory().numTensors;
  aliveAtTheEnd(3);
  expect(tf.memory().numTensors).toBe(before);
});
