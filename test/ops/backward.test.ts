import * as tf from '@tensorflow/tfjs-node';
import { expect, it } from 'vitest';
import { fusedOp, isRecording, onGradient, parameterLeaf } from '../../src/ops/autograd.js';
import { differentiate } from '../../src/ops/backward.js';
import { exactMatMul, gatherRows, residual } from '../../src/ops/operations.js';
import { randomValues } from '../model/support.js';

const matrix = (name: string, rows = 8, columns = 8) =>
  tf.tensor2d(randomValues(name, rows * columns), [rows, columns]);

/** Gradients by the tape and by TensorFlow's own autograd. */
function bothGradients(f: (...xs: tf.Tensor2D[]) => tf.Tensor, inputs: tf.Tensor2D[]) {
  const scalar = (...xs: tf.Tensor[]) => tf.sum(f(...(xs as tf.Tensor2D[]))) as tf.Scalar;
  const tape = inputs.map(() => new Float32Array(0));
  const leaves = () =>
    inputs.map((input, i) =>
      parameterLeaf(input, (gradient) => {
        tape[i] = gradient.dataSync<'float32'>().slice();
      }),
    );
  const value = differentiate(() => scalar(...leaves()), inputs);
  expect(value).toBe(scalar(...inputs).dataSync()[0]);
  const autograd = tf
    .grads(scalar)(inputs)
    .map((gradient) => gradient.dataSync<'float32'>().slice());
  return { tape, autograd };
}

it.each<[string, (x: tf.Tensor2D, w: tf.Tensor2D) => tf.Tensor]>([
  ['operations of TensorFlow alone', (x, w) => tf.softmax(tf.matMul(tf.square(x), w))],
  ['a parameter that is used several times', (x, w) => exactMatMul(exactMatMul(x, w), exactMatMul(w, w))],
  [
    'reshapes of TensorFlow, which share memory with gradients of kernels',
    (x, w) => {
      const probs = tf.softmax(exactMatMul(x, w)) as tf.Tensor2D;
      const rows = gatherRows(tf.reshape(probs, [64, 1]), Int32Array.of(1, 9, 9, 30, 31, 63));
      const pairs = tf.reshape(rows, [3, 2]);
      const shares = tf.div(pairs, tf.sum(pairs, 1, true));
      return tf.add(tf.sum(tf.square(shares)), tf.sum(tf.mul(tf.mean(probs, 0), tf.range(0, 8))));
    },
  ],
  [
    'residuals, rows and a result that nothing uses',
    (x, w) => {
      exactMatMul(x, w);
      const y = residual(x, exactMatMul(x, w));
      return residual(y, gatherRows(y, Int32Array.of(7, 0, 0, 1, 2, 3, 4, 5)));
    },
  ],
  [
    'a gradient that serves two inputs',
    (x, w) =>
      tf.customGrad((...each) => ({
        value: tf.add(each[0] as tf.Tensor, each[1] as tf.Tensor),
        gradFunc: (dy) => [dy, dy],
      }))(tf.square(x), tf.square(w)),
  ],
  ['several results of one operation', (x, w) => tf.mul(tf.split(exactMatMul(x, w), 2, 1)[1]!, 3)],
])('has the gradients of autograd to the bit: %s', (_, f) => {
  tf.tidy(() => {
    const { tape, autograd } = bothGradients(f, [matrix('x'), matrix('w')]);
    expect(tape).toEqual(autograd);
  });
});

it('adds gradients of many elements as autograd does', () => {
  tf.tidy(() => {
    const x = matrix('large', 128, 256);
    const { tape, autograd } = bothGradients((y) => tf.mul(residual(y, tf.square(y)), y), [x]);
    expect(tape).toEqual(autograd);
  });
});

it('computes nothing for what no parameter leads to', () => {
  tf.tidy(() => {
    const [x, w] = [matrix('x'), matrix('w')];
    let calls = 0;
    const count = () => {
      calls++;
    };
    differentiate(
      () =>
        tf.sum(
          residual(onGradient(x, count), exactMatMul(x, parameterLeaf(w, () => undefined) as tf.Tensor2D)),
        ),
      [w],
    );
    expect(calls).toBe(0);
  });
});

it('frees neither what a gradient hands out again and again, nor what it keeps', () => {
  const constant = tf.ones([8, 8]);
  let kept: tf.Tensor | undefined;
  const op = (x: tf.Tensor) =>
    tf.customGrad((each) => ({
      value: tf.square(each as tf.Tensor),
      gradFunc: (dy) => {
        kept = tf.keep(dy as tf.Tensor);
        return constant;
      },
    }))(x);
  const w = matrix('w');
  for (let step = 0; step < 2; step++) {
    differentiate(() => {
      const leaf = parameterLeaf(w, (gradient) => expect(new Set(gradient.dataSync())).toEqual(new Set([2])));
      return tf.sum(tf.add(op(leaf), op(leaf)));
    }, [w]);
    expect(constant.isDisposed || kept!.isDisposed).toBe(false);
    kept!.dispose();
  }
  for (const tensor of [constant, w]) tensor.dispose();
});

it('takes a scalar', () => {
  const w = matrix('w');
  expect(() => differentiate(() => parameterLeaf(w, () => undefined) as tf.Scalar, [w])).toThrow(
    'a loss of 64 elements has no gradient',
  );
  w.dispose();
});

it('records nothing outside a gradient, or in its backward pass', () => {
  tf.tidy(() => {
    const w = matrix('w');
    const seen: boolean[] = [isRecording()];
    differentiate(() => {
      seen.push(isRecording());
      return tf.sum(parameterLeaf(w, () => seen.push(isRecording())));
    }, [w]);
    expect(seen).toEqual([false, true, false]);
  });
});

it.each<[string, (w: tf.Tensor2D) => tf.Tensor, string]>([
  ['an operation without one', (w) => tf.mul(tf.cumprod(w), w), 'TensorFlow has no gradient of Cumprod'],
  [
    'one of another shape',
    (w) => tf.customGrad((x) => ({ value: tf.square(x as tf.Tensor), gradFunc: () => tf.zeros([2]) }))(w),
    'is float32 [2], and its input float32 [8,8]',
  ],
  [
    'a backward pass that fails',
    (w) =>
      fusedOp([w], () => ({
        value: tf.square(w),
        saved: [w],
        backward: () => {
          throw new Error('no memory');
        },
      })),
    'no memory',
  ],
  [
    'a gradient that differentiates, before an operation without one',
    (w) =>
      tf.customGrad((x) => ({
        value: tf.square(x as tf.Tensor),
        gradFunc: (dy) => tf.grad((y: tf.Tensor) => tf.square(y))(dy),
      }))(tf.mul(tf.cumprod(w), exactMatMul(w, w))),
    'TensorFlow has no gradient of Cumprod',
  ],
  [
    'a forward pass that fails',
    (w) => {
      exactMatMul(w, w);
      throw new Error('cut off');
    },
    'cut off',
  ],
])('says which gradient is missing or wrong, and leaves nothing behind: %s', (_, f, message) => {
  const w = matrix('w');
  const before = tf.memory().numTensors;
  const attempt = () => differentiate(() => tf.sum(f(parameterLeaf(w, () => undefined) as tf.Tensor2D)), [w]);
  expect(attempt).toThrow(message);
  expect(tf.memory().numTensors).toBe(before);
  expect(isRecording()).toBe(false);
  w.dispose();
});
