import { expect, test } from 'vitest';
import { FlatArrays } from '../../src/simd/index.js';

test.each([0, 1, 15, 16, 17, 70_000])('arrays of %i elements start at zero and do not overlap', (length) => {
  const { arrays, spares } = new FlatArrays(length, 4);
  for (const [i, array] of [...arrays, ...spares].entries()) {
    expect(array.every((x) => x === 0)).toBe(true);
    array.fill(i + 1);
  }
  for (const [i, array] of [...arrays, ...spares].entries())
    expect(array.every((x) => x === i + 1)).toBe(true);
  expect(arrays.map((array) => [array.length, array.byteOffset % 64])).toEqual(Array(4).fill([length, 0]));
});

test('the same element of large arrays lies in other sets of the caches, also if their length is a power of two', () => {
  const { arrays } = new FlatArrays(2 ** 20, 4);
  const setsOf = (sets: number) => new Set(arrays.map(({ byteOffset }) => (byteOffset / 64) % sets));
  expect([64, 1024, 2048].map((sets) => setsOf(sets).size)).toEqual([4, 4, 4]);
});

test('more than a WebAssembly memory holds is refused', () => {
  expect(() => new FlatArrays(2 ** 28, 4)).toThrow(
    /268435456 shared or expert parameters.*fewer than 268304384 fit/,
  );
});
