import type { ParameterRange } from '../model/parameters.js';

type UpdateRange = Pick<ParameterRange, 'begin' | 'end' | 'decay'>;

/** Parameters that live in one flat array, with their gradients and Adam's two moments; all of one length. */
export interface OptimizerGroup {
  readonly values: Float32Array;
  readonly gradients: Float32Array;
  readonly m: Float32Array;
  readonly v: Float32Array;
  /** Ranges that cover the arrays; elements outside any range stay as they are. */
  readonly ranges: readonly UpdateRange[];
}

export interface AdamWOptions {
  /** Number of this update, counted from 1; corrects the bias of the moments. */
  readonly step: number;
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** Every gradient is multiplied by this first: clipping costs no pass of its own. */
  readonly gradientScale: number;
}

/**
 * One AdamW update in place (Loshchilov & Hutter, arXiv 1711.05101, algorithm 2; the order of operations is
 * PyTorch's): decoupled weight decay, then value -= rate * mHat / (sqrt(vHat) + epsilon).
 *
 * Arithmetic is double, storage float32, so an epsilon of 1e-20 works and a parameter that never had a gradient
 * does not move.
 */
export function adamW(group: OptimizerGroup, options: AdamWOptions): void {
  for (const range of group.ranges) updateRange(group, range, options);
}

function updateRange(group: OptimizerGroup, range: UpdateRange, options: AdamWOptions): void {
  const { values, gradients, m, v } = group;
  const { step, learningRate, beta1, beta2, epsilon, weightDecay, gradientScale } = options;
  const keep = range.decay ? 1 - learningRate * weightDecay : 1;
  const stepSize = learningRate / (1 - beta1 ** step);
  const vScale = 1 / Math.sqrt(1 - beta2 ** step);
  const gain1 = 1 - beta1;
  const gain2 = 1 - beta2;
  for (let i = range.begin; i < range.end; i++) {
    const gradient = gradients[i] * gradientScale;
    const mean = beta1 * m[i] + gain1 * gradient;
    const square = beta2 * v[i] + gain2 * gradient * gradient;
    m[i] = mean;
    v[i] = square;
    values[i] = keep * values[i] - (stepSize * mean) / (Math.sqrt(square) * vScale + epsilon);
  }
}

/** Sum of squares in double precision, in an order that depends on the length alone. */
export function squaredNorm(gradients: Float32Array): number {
  // Four sums hide the latency of an addition.
  let sum0 = 0;
  let sum1 = 0;
  let sum2 = 0;
  let sum3 = 0;
  const whole = gradients.length & ~3;
  for (let i = 0; i < whole; i += 4) {
    sum0 += gradients[i] * gradients[i];
    sum1 += gradients[i + 1] * gradients[i + 1];
    sum2 += gradients[i + 2] * gradients[i + 2];
    sum3 += gradients[i + 3] * gradients[i + 3];
  }
  for (let i = whole; i < gradients.length; i++) sum0 += gradients[i] * gradients[i];
  return sum0 + sum1 + (sum2 + sum3);
}
