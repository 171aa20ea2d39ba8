import type { RunConfig } from '../config/schema.js';
import { consume } from '../ops/autograd.js';
import { addLowRank } from '../ops/low-rank.js';
import { matMul, residual } from '../ops/operations.js';
import { tf } from '../ops/tensorflow.js';
import { pairOf, specsWithPair } from '../parameters/low-rank-pair.js';
import { matrix } from '../parameters/matrix.js';
import type { ParameterSource, ParameterSpec } from '../parameters/parameters.js';

// Shapes: T rows, a and b sides of a matrix, R rank of its pair.

type Train = Pick<RunConfig['train'], 'lora'>;

const IS_ON: Readonly<Record<'attention' | 'experts', (spec: ParameterSpec) => boolean>> = {
  attention: ({ name, shape }) => name.includes('.attn.') && shape.length === 2,
  experts: ({ placement }) => placement === 'expert',
};

/** Adds the pairs of `train.lora`, each after its matrix. */
export function withPairs(specs: readonly ParameterSpec[], { lora }: Train): ParameterSpec[] {
  if (lora === null) return [...specs];
  const { rank, alpha, on } = lora;
  return specs.flatMap((spec) =>
    on.some((part) => IS_ON[part](spec)) ? specsWithPair(spec, rank, (alpha ?? rank) / rank) : [spec],
  );
}

/** Computes x W, or x W + scale (x A) B with a pair: [T, a] -> [T, b]. */
export function project(parameters: ParameterSource, name: string, xTA: tf.Tensor2D): tf.Tensor2D {
  const yTB = matMul(xTA, matrix(parameters, name));
  const scale = parameters.pairScale(name);
  if (scale === undefined) return yTB;
  const { a, b } = pairOf(name);
  const lowTR = matMul(xTA, matrix(parameters, a));
  const scaledTR = consume([lowTR], tf.mul<tf.Tensor2D>(lowTR, scale));
  const addedTB = consume([scaledTR], matMul(scaledTR, matrix(parameters, b)));
  return consume([yTB, addedTB], residual(yTB, addedTB));
}

/** Computes W, or W + scale A B with a pair, for networks whose kernels accept only whole matrices: [a, b]. */
export function adaptedMatrix(parameters: ParameterSource, name: string): tf.Tensor2D {
  const wAB = matrix(parameters, name);
  const scale = parameters.pairScale(name);
  if (scale === undefined) return wAB;
  const { a, b } = pairOf(name);
  return addLowRank(wAB, matrix(parameters, a), matrix(parameters, b), scale);
}
