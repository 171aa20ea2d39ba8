import * as tf from '@tensorflow/tfjs-node';
import { expect } from 'vitest';
import { type RunConfig, runSchema } from '../../src/config/schema.js';
import { CounterRandom } from '../../src/parameters/counter-random.js';

/** Normal values that depend on `name` alone. */
export function randomValues(name: string, length: number, std = 1): Float32Array {
  const values = new Float32Array(length);
  new CounterRandom(7, name).fillNormal(values, std);
  return values;
}

/** Integers in [0, below). */
export function randomIntegers(name: string, length: number, below: number): Int32Array {
  const random = new CounterRandom(7, name);
  return Int32Array.from({ length }, (_, i) => Math.floor(random.uniform(i) * below));
}

/** Positions in segments of these lengths, of one sequence after another. */
export function positionsOf(...sequences: readonly (readonly number[])[]): Int32Array {
  return Int32Array.from(sequences.flat().flatMap((length) => Array.from({ length }, (_, i) => i)));
}

export function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i] - expected[i]);
    if (!(error <= tolerance * (1 + Math.abs(expected[i]))))
      expect.fail(`element ${i} is ${actual[i]}, expected ${expected[i]} within ${tolerance}`);
  }
}

export interface OpInput {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

const STEP = 1e-2;

/**
 * Holds the gradients of `op` against central differences, element by element, for the scalar sum(op(...) * c)
 * with random c, summed in double precision. With steps of 1e-2 both errors of the quotient (float32 noise of the
 * outputs, and the third derivative) stay near 1e-4 of the size of a gradient, so 2e-3 is a tolerance that a wrong
 * term does not pass.
 */
export function checkGradients(
  op: (...tensors: tf.Tensor[]) => tf.Tensor,
  inputs: readonly OpInput[],
  tolerance = 2e-3,
): void {
  const tensors = (changed?: number, values?: Float32Array) =>
    inputs.map((input, i) => tf.tensor(i === changed ? values! : input.values, [...input.shape]));
  const outputSize = tf.tidy(() => op(...tensors()).size);
  const weights = randomValues('gradient check', outputSize);
  const scalar = (changed: number, values: Float32Array) =>
    tf.tidy(() => {
      const output = op(...tensors(changed, values)).dataSync<'float32'>();
      return output.reduce((sum, value, i) => sum + value * weights[i], 0);
    });
  inputs.forEach((input, k) => {
    const numeric = input.values.map((value, i) => {
      const at = (x: number) => scalar(k, input.values.with(i, x));
      return (at(value + STEP) - at(value - STEP)) / (Math.fround(value + STEP) - Math.fround(value - STEP));
    });
    const analytic = tf.tidy(() => {
      const dy = tf.tensor(weights, op(...tensors()).shape);
      return tf
        .grads((...args) => op(...args))(tensors(), dy)
        [k].dataSync<'float32'>()
        .slice();
    });
    const scale = Math.max(1, ...numeric.map(Math.abs));
    expectClose(
      analytic.map((x) => x / scale),
      numeric.map((x) => x / scale),
      tolerance,
    );
  });
}

type Overrides = { [K in 'model' | 'moe' | 'data' | 'train' | 'cluster']?: Partial<RunConfig[K]> };

/** A model small enough for finite differences. */
export function tinyConfig(overrides: Overrides = {}): RunConfig {
  return runSchema.parse({
    name: 'tiny',
    seed: 3,
    model: {
      dModel: 8,
      numHeads: 2,
      numDenseLayers: 1,
      numSparseLayers: 1,
      queryLayer: true,
      dFeedForward: 16,
      vocabSize: 257,
      seqLen: 6,
      ...overrides.model,
    },
    moe: { numExperts: 4, router: 'switch', capacityFactor: null, ...overrides.moe },
    data: { domains: ['a', 'b'], ...overrides.data },
    train: { steps: 1, globalBatch: 4, learningRate: 1e-3, ...overrides.train },
    cluster: { ...overrides.cluster },
  });
}
