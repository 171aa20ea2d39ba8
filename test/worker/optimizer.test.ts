import { expect, test } from 'vitest';
import type { StateArrays } from '../../src/parameters/parameter-group.js';
import { FlatArrays } from '../../src/simd/index.js';
import { type AdamWOptions, adamW, squaredNorm } from '../../src/worker/optimizer.js';

const options: AdamWOptions = {
  step: 1,
  learningRate: 1e-2,
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.1,
  gradientScale: 1,
};

function groupOf(values: ArrayLike<number>, ranges = [{ begin: 0, end: values.length, decay: true }]) {
  const flat = new FlatArrays<StateArrays>(values.length, 4);
  flat.arrays[0].set(values);
  return {
    flat,
    ranges,
    values: flat.arrays[0],
    gradients: flat.arrays[1],
    m: flat.arrays[2],
    v: flat.arrays[3],
  };
}

/** A group with these gradients. */
function withGradients(gradients: ArrayLike<number>) {
  const group = groupOf(new Float32Array(gradients.length));
  group.gradients.set(gradients);
  return group;
}

test("200 updates agree with a slow double-precision loop of PyTorch's algorithm; what is outside the ranges stays", () => {
  const length = 37;
  const start = Array.from({ length }, (_, i) => Math.sin(i));
  const group = groupOf(start, [
    { begin: 0, end: 20, decay: true },
    { begin: 20, end: length - 1, decay: false },
  ]);
  const slow = start.map((value) => ({ value, m: 0, v: 0 }));
  for (let step = 1; step <= 200; step++) {
    const setting = { ...options, step, learningRate: 1e-2 / step, gradientScale: 1 / (1 + (step % 3)) };
    for (let i = 0; i < length; i++) group.gradients[i] = Math.cos(i * step) * 10 ** -(i % 5);
    adamW(group, setting);
    for (const [i, p] of slow.entries()) slowAdamW(p, group.gradients[i], i < 20, setting);
  }
  slow.pop();
  expect([group.values.at(-1), group.m.at(-1)]).toEqual([Math.fround(start.at(-1)!), 0]);
  for (const [i, p] of slow.entries()) {
    expect(group.values[i], `value ${i}`).toBeCloseTo(p.value, 5);
    expect(Math.abs(group.m[i] - p.m)).toBeLessThan(1e-6 * 10 ** -(i % 5));
    expect(Math.abs(group.v[i] - p.v)).toBeLessThan(1e-5 * p.v);
  }
});

function slowAdamW(
  p: { value: number; m: number; v: number },
  rawGradient: number,
  decay: boolean,
  o: AdamWOptions,
): void {
  const g = rawGradient * o.gradientScale;
  if (decay) p.value -= o.learningRate * o.weightDecay * p.value;
  p.m = o.beta1 * p.m + (1 - o.beta1) * g;
  p.v = o.beta2 * p.v + (1 - o.beta2) * g ** 2;
  const mHat = p.m / (1 - o.beta1 ** o.step);
  const vHat = p.v / (1 - o.beta2 ** o.step);
  p.value -= (o.learningRate * mHat) / (Math.sqrt(vHat) + o.epsilon);
}

test('gradients of 1e-15 get full-size updates with epsilon 1e-20 and none with 1e-8, and none move nothing', () => {
  const moved = [1e-20, 1e-8].map((epsilon) => {
    const group = groupOf([0, 0.5], [{ begin: 0, end: 2, decay: false }]);
    group.gradients[0] = 1e-15;
    adamW(group, { ...options, epsilon });
    expect([group.values[1], group.m[1], group.v[1]]).toEqual([0.5, 0, 0]);
    return group.values[0]!;
  });
  expect(moved[0]).toBeCloseTo(-0.01, 6);
  expect(Math.abs(moved[1]!)).toBeLessThan(1e-8);
});

test.each([0, 1, 3, 4, 5, 1023])('the squared norm of %i elements is that of a plain loop', (length) => {
  const gradients = Float32Array.from({ length }, (_, i) => Math.sin(i * 12.9898) * 1e3);
  const expected = gradients.reduce((sum, g) => sum + g * g, 0);
  expect(Math.abs(squaredNorm(withGradients(gradients)) - expected)).toBeLessThanOrEqual(1e-12 * expected);
});

test('the squared norm leaves out what lies between ranges, and does not overflow or vanish as float32 would', () => {
  const gradients = Float32Array.from({ length: 10 }, (_, i) => i);
  const ranges = [
    { begin: 1, end: 3 },
    { begin: 7, end: 8 },
  ];
  expect(squaredNorm(withGradients(gradients), ranges)).toBe(1 + 4 + 49);
  expect(squaredNorm(withGradients(new Float32Array(8).fill(1e30))) / 8e60).toBeCloseTo(1, 6);
  expect(squaredNorm(withGradients(new Float32Array(8).fill(1e-30))) / 8e-60).toBeCloseTo(1, 6);
  expect(squaredNorm(withGradients([1, Number.NaN]))).toBeNaN();
});

test('how elements are cut into ranges changes no bit', () => {
  const start = Array.from({ length: 101 }, (_, i) => Math.sin(i));
  const cuts = [0, 1, 4, 9, 15, 64, 98, 101];
  const whole = groupOf(start);
  const cut = groupOf(
    start,
    cuts.slice(1).map((end, i) => ({ begin: cuts[i], end, decay: true })),
  );
  for (let step = 1; step <= 20; step++)
    for (const group of [whole, cut]) {
      group.gradients.set(start.map((_, i) => Math.cos(i * step) * 10 ** -(i % 9)));
      adamW(group, { ...options, step });
    }
  for (const name of ['values', 'm', 'v'] as const) expect(cut[name]).toEqual(whole[name]);
});

test('moments that fade away become zero, not numbers too small for a full mantissa', () => {
  const group = withGradients([1e-18, -1e-18]);
  adamW(group, options);
  expect(Math.abs(group.m[0])).toBeGreaterThan(0);
  group.gradients.fill(0);
  for (let step = 2; step <= 1000; step++) adamW(group, { ...options, step });
  expect([...group.m, ...group.v].map(Math.abs)).toEqual([0, 0, 0, 0]);
});
