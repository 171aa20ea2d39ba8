import { mapTuple } from '../map-tuple.js';
import type { AdamWNumbers } from '../ops/kernels/kernels.js';
import type { StateArrays } from '../parameters/parameter-group.js';
import type { ParameterRange } from '../parameters/parameters.js';
import {
  abs,
  add,
  and,
  div,
  FLOATS_OF_VECTOR,
  type FlatArrays,
  mul,
  notLess,
  sqrt,
  sub,
  type Vector,
  vectorKernel,
} from '../simd/index.js';

type UpdateRange = Pick<ParameterRange, 'begin' | 'end' | 'decay'>;

/** Flat arrays of equal length: parameters, their gradients and Adam's two moments. */
export interface OptimizerGroup {
  /** Values, gradients and the moments m and v, in this order. */
  readonly flat: FlatArrays<StateArrays>;
  /** The ranges to update; other elements do not change. */
  readonly ranges: readonly UpdateRange[];
}

export interface AdamWOptions {
  /** Number of this update, counted from 1, for the bias correction of the moments. */
  readonly step: number;
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** Factor on every gradient, which allows clipping without a separate pass. */
  readonly gradientScale: number;
}

const LEAST_NORMAL = 2 ** -126;

const update = vectorKernel(
  ['values', 'gradients', 'm', 'v'],
  ['gradientScale', 'gain1', 'gain2', 'decay', 'stepSize', 'vScale', 'epsilon'],
  (loop) => {
    const least = loop.constant(LEAST_NORMAL);
    // Moments that would decay into denormals, such as those of an expert without tokens, become zero: CPUs are a
    // hundred times slower on denormals.
    const normal = (x: Vector) => and(x, notLess(abs(x), least));
    // old + gain (new - old) needs one constant; two constants would have to sum to one after rounding.
    const towards = (old: Vector, gain: Vector, next: Vector) => add(old, mul(gain, sub(next, old)));
    const gradient = loop.let(mul(loop.load('gradients'), loop.number('gradientScale')));
    const oldM = loop.let(loop.load('m'));
    const oldV = loop.let(loop.load('v'));
    const m = loop.let(normal(loop.let(towards(oldM, loop.number('gain1'), gradient))));
    const v = loop.let(normal(loop.let(towards(oldV, loop.number('gain2'), mul(gradient, gradient)))));
    loop.store('m', m);
    loop.store('v', v);
    const value = loop.let(loop.load('values'));
    const root = add(mul(sqrt(v), loop.number('vScale')), loop.number('epsilon'));
    const change = add(mul(loop.number('decay'), value), div(mul(loop.number('stepSize'), m), root));
    loop.store('values', sub(value, change));
  },
);

/**
 * Does one AdamW update in place (Loshchilov & Hutter, arXiv 1711.05101, algorithm 2): decoupled weight decay and value
 * -= rate * mHat / (sqrt(vHat) + epsilon).
 *
 * Arithmetic is float32. An epsilon of 1e-20 works for gradients down to 1e-18, whose squares float32 still represents;
 * a parameter that never had a gradient does not move. An element's result does not depend on its range.
 */
export function adamW({ flat, ranges }: OptimizerGroup, options: AdamWOptions): void {
  for (const { begin, end, decay } of ranges) {
    const numbers = adamWNumbers(options, decay);
    const whole = begin + Math.floor((end - begin) / FLOATS_OF_VECTOR) * FLOATS_OF_VECTOR;
    update.run(flat.memory, whole - begin, startsOf(flat.arrays, begin), numbers);
    if (whole === end) continue;
    // The last vector may hold elements of the next range, so it is updated on a copy.
    flat.arrays.forEach((array, i) => {
      flat.spares[i]!.set(array.subarray(whole, end));
    });
    update.run(flat.memory, FLOATS_OF_VECTOR, startsOf(flat.spares, 0), numbers);
    flat.arrays.forEach((array, i) => {
      array.set(flat.spares[i]!.subarray(0, end - whole), whole);
    });
  }
}

/** @param decays whether weight decay applies to the parameter */
export function adamWNumbers(
  { step, learningRate, beta1, beta2, epsilon, weightDecay, gradientScale }: AdamWOptions,
  decays: boolean,
): AdamWNumbers {
  return {
    gradientScale,
    gain1: 1 - beta1,
    gain2: 1 - beta2,
    decay: decays ? learningRate * weightDecay : 0,
    stepSize: learningRate / (1 - beta1 ** step),
    vScale: 1 / Math.sqrt(1 - beta2 ** step),
    epsilon,
  };
}

function startsOf(arrays: StateArrays, begin: number) {
  const [values, gradients, m, v] = mapTuple(arrays, (array) => array.byteOffset + 4 * begin);
  return { values, gradients, m, v };
}

const squares = vectorKernel(['gradients'], [], (loop) => loop.sumSquares(loop.let(loop.load('gradients'))));

/**
 * Returns a group's sum of squared gradients in double precision; the order of summation depends only on their number.
 *
 * @param ranges ranges of all gradients that are not zero, summed one after the other; null for the whole group
 */
export function squaredNorm(
  { flat }: Pick<OptimizerGroup, 'flat'>,
  ranges: readonly Pick<UpdateRange, 'begin' | 'end'>[] | null = null,
): number {
  const [, gradients] = flat.arrays;
  if (ranges !== null) return ranges.reduce((sum, range) => sum + squaredNormOfRange(flat, range), 0);
  // The padding of the last vector is zero.
  const numFloats = FLOATS_OF_VECTOR * Math.ceil(gradients.length / FLOATS_OF_VECTOR);
  return squares.run(flat.memory, numFloats, { gradients: gradients.byteOffset }, {});
}

function squaredNormOfRange(
  flat: FlatArrays<StateArrays>,
  { begin, end }: Pick<UpdateRange, 'begin' | 'end'>,
): number {
  const [, gradients] = flat.arrays;
  const rest = (end - begin) % FLOATS_OF_VECTOR;
  const start = gradients.byteOffset + 4 * begin;
  const sum = squares.run(flat.memory, end - begin - rest, { gradients: start }, {});
  return gradients.subarray(end - rest, end).reduce((total, value) => total + value * value, sum);
}
