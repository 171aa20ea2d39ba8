import * as tf from '@tensorflow/tfjs-node';
import { expect, it } from 'vitest';
import { setGradientTarget } from '../../src/ops/gradient-target.js';
import { kernels } from '../../src/ops/kernels/choose-kernels.js';
import type { FeedForwardWeights, FusedForward } from '../../src/ops/kernels/kernels.js';
import { randomValues } from '../model/support.js';

const [T, d, F, V] = [6, 8, 12, 10];
const IDS = Int32Array.of(3, 1, 4, 1, 5, 9);
const SEGMENTS = Int32Array.of(0, 1, 0, 0, 1, 2);

type Matrix = tf.Tensor2D;

interface Operation {
  readonly forward: (...inputs: Matrix[]) => FusedForward;
  readonly shapes: readonly (readonly [number, number])[];
  /** Indices of the inputs that are parameters. */
  readonly matrices: readonly number[];
}

function network(x: Matrix, weights: FeedForwardWeights): FusedForward {
  const net = kernels().network('fixed');
  const { y, saved } = net.forward(x, weights);
  return {
    value: y,
    saved,
    backward(dy) {
      const dyTD = dy as Matrix;
      const { dx, kept } = net.backward(dyTD, weights, saved);
      return [dx, ...net.gradients([{ dyTD, saved, kept }], weights)];
    },
  };
}

const OPERATIONS: Readonly<Record<string, Operation>> = {
  matMul: {
    forward: (x, w) => kernels().matMul(x, w, false),
    shapes: [
      [T, d],
      [d, F],
    ],
    matrices: [1],
  },
  'a network': {
    forward: (x, wInDF, wOutFD) => network(x, [wInDF, wOutFD]),
    shapes: [
      [T, d],
      [d, F],
      [F, d],
    ],
    matrices: [1, 2],
  },
  tiedCrossEntropy: {
    forward: (x, embedding) => kernels().tiedCrossEntropy(x, embedding, IDS),
    shapes: [
      [T, d],
      [V, d],
    ],
    matrices: [1],
  },
  embedding: {
    forward: (tokens, positions) => kernels().embedding(tokens, positions, IDS, 3),
    shapes: [
      [V, d],
      [4, d],
    ],
    matrices: [0, 1],
  },
  'embedding of packed samples': {
    forward: (tokens, positions) => kernels().embedding(tokens, positions, IDS, 3, SEGMENTS),
    shapes: [
      [V, d],
      [4, d],
    ],
    matrices: [0, 1],
  },
};

/** Gradients of the inputs. */
function gradientsOf({ forward, shapes }: Operation, unwanted: readonly number[]) {
  const gradients: (Float32Array | undefined)[] = [];
  tf.tidy(() => {
    const inputs = shapes.map((shape, i) =>
      tf.tensor2d(randomValues(`${i}`, shape[0] * shape[1]), [...shape]),
    );
    for (const i of unwanted) setGradientTarget(inputs[i], 'unwanted');
    const { value, saved, backward } = forward(...inputs);
    const dy = tf.tensor(randomValues('dy', value.size), value.shape);
    gradients.push(...backward(dy, saved).map((each) => each?.dataSync<'float32'>().slice()));
  });
  return gradients;
}

it.each(Object.keys(OPERATIONS))(
  '%s does not compute a gradient that is unwanted, and the others alike',
  (name) => {
    const operation = OPERATIONS[name];
    const all = gradientsOf(operation, []);
    for (const each of all) expect(each!.some((value) => value !== 0)).toBe(true);
    for (const unwanted of [...operation.matrices.map((i) => [i]), operation.matrices])
      expect(gradientsOf(operation, unwanted)).toEqual(
        all.map((each, i) => (unwanted.includes(i) ? undefined : each)),
      );
  },
);
