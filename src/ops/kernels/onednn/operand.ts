/** Numbers in memory that does not move: of the arena, of TensorFlow, or of a WebAssembly memory. */
export type Values = Float32Array | Uint16Array;

/** An array; its type is bfloat16 if its values are 16 bits wide, otherwise float32. */
export interface Operand {
  readonly values: Values;
  readonly dims: readonly number[];
  /** Strides in elements; row-major by default. */
  readonly strides?: readonly number[];
}

/** Returns the key of an operand's shape, for which primitives are compiled. */
export function keyOf({ dims, strides, values }: Operand): string {
  return `${values.BYTES_PER_ELEMENT}:${dims}${strides === undefined ? '' : `/${strides}`}`;
}

/** Consecutive rows. */
export interface Place {
  readonly begin: number;
  readonly count: number;
}

/** Returns consecutive rows of a row-major matrix. */
export function rowsOf({ values, dims }: Operand, { begin, count }: Place): Operand {
  const width = dims[1]!;
  return { values: values.subarray(begin * width, (begin + count) * width), dims: [count, width] };
}

/** Splits rows into consecutive ranges of at most `most` rows. */
export function chunksOf(numRows: number, most: number): Place[] {
  return Array.from({ length: Math.ceil(numRows / most) }, (_, i) => ({
    begin: i * most,
    count: Math.min(most, numRows - i * most),
  }));
}

/** Returns the transpose of a matrix, as a view of the same elements. */
export function transposed({ values, dims }: Operand): Operand {
  const [rows, columns] = dims as [number, number];
  return { values, dims: [columns, rows], strides: [1, columns] };
}
