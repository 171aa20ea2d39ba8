import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import { fusedOp } from '../../../../src/ops/autograd.js';
import { fixedShapes } from '../../../../src/ops/kernels/tensorflow/compiled.js';
import { gelu as forward, geluBackward } from '../../../../src/ops/kernels/tensorflow/gelu.js';
import { geluOnHost } from '../../../../src/ops/on-host.js';
import { checkOperation, expectClose, input } from '../../../model/support.js';

function slowGelu(x: number): number {
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}

/** As an operation of its own, compiled where a gradient is recorded. */
function gelu<T extends tf.Tensor>(x: T): T {
  return fusedOp<T>([x], () => {
    const run = fixedShapes();
    return {
      value: run('GELU', [x], (input) => [forward(input)])[0],
      saved: [x],
      backward: (dy, saved) => [run('gradient of GELU', [dy, ...saved], geluBackward)[0]],
    };
  });
}

describe('gelu', () => {
  it('equals the formula, also on the host', () => {
    const x = input('gelu', [3, 4], 3);
    const expected = Array.from(x.values, slowGelu);
    checkOperation(gelu, [x], expected);
    const onHost = x.values.slice();
    geluOnHost(onHost);
    expectClose(onHost, expected, 1e-5);
  });

  it('recomputes its value in the backward pass', () => {
    const again = tf.tidy(() =>
      geluBackward(tf.ones([3]), tf.tensor1d([-1, 0.5, 2]))[1]
        .dataSync()
        .slice(),
    );
    expectClose(again, [-1, 0.5, 2].map(slowGelu), 1e-6);
  });

  it('is 0 and the identity at the far ends, without NaN in value or slope', () => {
    const [value, slope] = tf.tidy(() => {
      const x = tf.tensor1d([-1e4, -30, 0, 30, 1e4]);
      return [gelu(x), tf.grad((y: tf.Tensor) => gelu(y))(x)].map((tensor) => [...tensor.dataSync()]);
    });
    expectClose(value, [0, 0, 0, 30, 1e4], 1e-6);
    const onHost = Float32Array.of(-1e4, -30, 0, 30, 1e4);
    geluOnHost(onHost);
    expectClose(onHost, value, 1e-6);
    expectClose(slope, [0, 0, 0.5, 1, 1], 1e-6);
    expect(value.every(Number.isFinite)).toBe(true);
  });
});
