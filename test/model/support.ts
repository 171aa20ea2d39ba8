import * as tf from '@tensorflow/tfjs-node';
import { expect } from 'vitest';
import type { Experts } from '../../src/architecture/architecture.js';
import { type RunConfig, runSchema } from '../../src/config/schema.js';
import { describe } from '../../src/model/describe.js';
import type { MoeLayer } from '../../src/model/moe-layer.js';
import { modelSpecs } from '../../src/model/specs.js';
import { parameterLeaf } from '../../src/ops/autograd.js';
import { differentiate } from '../../src/ops/backward.js';
import { CounterRandom } from '../../src/parameters/counter-random.js';
import { ParameterStore } from '../../src/parameters/parameters.js';

/** Normal values that depend on `name` alone. */
export function randomValues(name: string, length: number, std = 1): Float32Array {
  const values = new Float32Array(length);
  new CounterRandom(7, name).fillNormal(values, std);
  return values;
}

/** Random integers in [0, below) that depend on `name` alone. */
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

/** An input of normal values that depend on `name` alone. */
export function input(name: string, shape: readonly number[], std = 1): OpInput {
  return { shape, values: randomValues(name, sizeOf(shape), std) };
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}

type Op = (...tensors: tf.Tensor[]) => tf.Tensor;

/** The elements that `op` gives for these inputs. */
export function resultOf(op: Op, inputs: readonly OpInput[]): Float32Array {
  return tf.tidy(() =>
    op(...inputs.map(({ values, shape }) => tf.tensor(values, [...shape], 'float32')))
      .dataSync<'float32'>()
      .slice(),
  );
}

/** Compares `op` with the result of a loop, and its gradients with finite differences. */
export function checkOperation(op: Op, inputs: readonly OpInput[], expected: ArrayLike<number>): void {
  expectClose(resultOf(op, inputs), expected, 1e-5);
  checkGradients(op, inputs);
}

const STEP = 1e-2;
/** Maximum number of elements of an input that are checked, spread over all of it. */
const PROBES = 30;

/**
 * Checks the gradients of `op` against central differences, at elements spread over each input, for the scalar
 * sum(op(...) * c) with random c, summed in double precision. With steps of 1e-2 both errors of the quotient (float32
 * noise of the outputs, and the third derivative) stay near 1e-4 of the size of a gradient, so a wrong term does not
 * pass the tolerance of 2e-3.
 */
export function checkGradients(op: Op, inputs: readonly OpInput[], tolerance = 2e-3): void {
  const tensors = (changed?: number, values?: Float32Array) =>
    inputs.map((input, i) => tf.tensor(i === changed ? values! : input.values, [...input.shape]));
  const outputSize = tf.tidy(() => op(...tensors()).size);
  const weights = randomValues('gradient check', outputSize);
  const scalar = (changed: number, values: Float32Array) =>
    tf.tidy(() => {
      const output = op(...tensors(changed, values)).dataSync<'float32'>();
      return output.reduce((sum, value, i) => sum + value * weights[i], 0);
    });
  const gradients = tf.tidy(() => {
    const dy = tf.tensor(weights, op(...tensors()).shape);
    const all = tf.grads((...args) => op(...args))(tensors(), dy);
    return all.map((gradient) => gradient.dataSync<'float32'>().slice());
  });
  // TensorFlow's own autograd finds the same over the same operations, to the bit unless XLA has compiled them.
  gradientsOfTape(op, tensors, weights).forEach((gradient, i) => {
    expectClose(gradient, gradients[i], 1e-5);
  });
  inputs.forEach(({ values }, k) => {
    expect(gradients[k]).toHaveLength(values.length);
    const probes = Array.from({ length: Math.min(PROBES, values.length) }, (_, i) =>
      Math.floor(((i + 0.5) * values.length) / Math.min(PROBES, values.length)),
    );
    const numeric = probes.map((i) => {
      const value = values[i];
      const at = (x: number) => scalar(k, values.with(i, x));
      return (at(value + STEP) - at(value - STEP)) / (Math.fround(value + STEP) - Math.fround(value - STEP));
    });
    const scale = Math.max(1, ...numeric.map(Math.abs));
    expectClose(
      probes.map((i) => gradients[k][i] / scale),
      numeric.map((x) => x / scale),
      tolerance,
    );
  });
}

/** Returns the gradients of sum(op(...) * weights), by `differentiate`. */
function gradientsOfTape(op: Op, tensors: () => tf.Tensor[], weights: Float32Array): Float32Array[] {
  return tf.tidy(() => {
    const inputs = tensors();
    const found: Float32Array[] = [];
    differentiate(() => {
      const output = op(
        ...inputs.map((input, i) =>
          parameterLeaf(input, (gradient) => {
            found[i] = gradient.dataSync<'float32'>().slice();
          }),
        ),
      );
      return tf.sum(tf.mul(output, tf.tensor(weights, output.shape)));
    }, inputs);
    return found;
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

/** The experts of the first sparse layer. */
export function expertsOf(config: RunConfig): Experts {
  return describe(config)
    .blocks.map(({ operation }) => operation)
    .find((operation) => operation.op === 'experts')!;
}

/** The parameters of the only sparse layer of a model. */
export function storeOf(config: RunConfig, { localExperts }: MoeLayer): ParameterStore {
  const specs = modelSpecs(config, [localExperts]);
  return new ParameterStore(
    specs.filter(({ name }) => /\.(router|experts|shared)\./.test(name)),
    1,
  );
}
