import { expect, test } from 'vitest';
import {
  abs,
  add,
  and,
  div,
  FlatArrays,
  mul,
  notLess,
  sqrt,
  sub,
  vectorKernel,
} from '../../src/simd/index.js';

const LENGTH = 20;
const flat = new FlatArrays(LENGTH, 2);
const [x, y] = flat.arrays;
const starts = { x: x.byteOffset, y: y.byteOffset };
const { fround } = Math;

test.each([
  ['add', add, (a: number, b: number) => a + b],
  ['sub', sub, (a: number, b: number) => a - b],
  ['mul', mul, (a: number, b: number) => a * b],
  ['div', div, (a: number, b: number) => a / b],
] as const)('%s of an array and a number, to the bit', (_, operation, slow) => {
  const kernel = vectorKernel(['x', 'y'], ['n'], (loop) =>
    loop.store('y', operation(loop.load('x'), loop.number('n'))),
  );
  x.forEach((_, i) => {
    x[i] = Math.sin(i);
  });
  y.fill(7);
  kernel.run(flat.memory, 16, starts, { n: 0.3 });
  expect([...y]).toEqual([...x].map((value, i) => (i < 16 ? fround(slow(value, fround(0.3))) : 7)));
});

test('square roots, and lanes kept where they are at least a constant', () => {
  const kernel = vectorKernel(['x', 'y'], [], (loop) => {
    const value = loop.let(loop.load('x'));
    loop.store('y', and(sqrt(abs(value)), notLess(value, loop.constant(0.5))));
  });
  x.forEach((_, i) => {
    x[i] = i / 10 - 1;
  });
  kernel.run(flat.memory, LENGTH, starts, {});
  expect([...y]).toEqual([...x].map((value) => (value >= 0.5 ? fround(Math.sqrt(value)) : 0)));
});

test('squares are summed in double precision', () => {
  const kernel = vectorKernel(['x'], [], (loop) => loop.sumSquares(loop.let(loop.load('x'))));
  x.fill(0);
  x.set([1e30, 3, 1e-30, -2]);
  expect(kernel.run(flat.memory, 4, { x: starts.x }, {})).toBe(fround(1e30) ** 2 + 9 + 4);
  x.set([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(kernel.run(flat.memory, 8, { x: starts.x }, {})).toBe(204);
});

test('no elements, no change', () => {
  const kernel = vectorKernel(['x'], [], (loop) => loop.store('x', loop.constant(1)));
  x.fill(0);
  kernel.run(flat.memory, 0, { x: starts.x }, {});
  expect(x.every((value) => value === 0)).toBe(true);
});
