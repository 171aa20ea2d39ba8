import type { Operand } from './operand.js';

/** Consecutive rows. */
export interface Place {
  readonly begin: number;
  readonly count: number;
}

/** Consecutive rows of a row-major matrix. */
export function rowsOf({ values, dims }: Operand, { begin, count }: Place): Operand {
  const width = dims[1]!;
  return { values: values.subarray(begin * width, (begin + count) * width), dims: [count, width] };
}

/** All rows in their order, at most `most` at a time. */
export function chunksOf(numRows: number, most: number): Place[] {
  return Array.from({ length: Math.ceil(numRows / most) }, (_, i) => ({
    begin: i * most,
    count: Math.min(most, numRows - i * most),
  }));
}

/** The same elements as a matrix with rows for columns. */
export function transposed({ values, dims }: Operand): Operand {
  const [rows, columns] = dims as [number, number];
  return { values, dims: [columns, rows], strides: [1, columns] };
}
