import { expect, it } from 'vitest';
import { downsample, meansOf } from '../src/downsample.js';

it('keeps every row where there is room', () => {
  expect(downsample([[5, 6, 7]], 0, 3, 10)).toEqual([0, 1, 2]);
  expect(downsample([[5, 6, 7]], 1, 3, 10)).toEqual([1, 2]);
  expect(downsample([[]], 0, 0, 10)).toEqual([]);
});

it('keeps the extremes of every column, wherever they lie', () => {
  const numRows = 10_000;
  for (const spike of [0, 1, 777, 5_000, 9_998, 9_999]) {
    const smooth = Array.from({ length: numRows }, (_, row) => Math.sin(row / 100));
    const spiked = smooth.with(spike, 50);
    const dipped = smooth.with((spike + 1_234) % numRows, -50);
    const rows = downsample([spiked, dipped], 0, numRows, 1_500);
    expect(rows.length).toBeLessThanOrEqual(1_502);
    expect(rows).toContain(spike);
    expect(rows).toContain((spike + 1_234) % numRows);
    expect(rows).toContain(0);
    expect(rows).toContain(numRows - 1);
    expect(rows).toEqual([...new Set(rows)].sort((a, b) => a - b));
  }
});

it('looks past rows without a value', () => {
  const column = Array.from({ length: 1_000 }, (_, row) =>
    row % 2 === 0 ? Number.NaN : row === 501 ? 9 : 1,
  );
  const rows = downsample([column], 0, 1_000, 100);
  expect(rows).toContain(501);
  expect(rows.filter((row) => Number.isNaN(column[row]))).toEqual([0]);
  expect(downsample([new Array(1_000).fill(Number.NaN)], 0, 1_000, 100)).toEqual([0, 999]);
});

it('means leave out what is missing', () => {
  const column = [1, Number.NaN, 3, Number.NaN, Number.NaN];
  expect(
    meansOf(column, [
      [0, 3],
      [3, 5],
    ]),
  ).toEqual([2, Number.NaN]);
});
