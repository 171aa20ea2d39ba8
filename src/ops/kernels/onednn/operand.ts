/** Numbers in memory that stays where it is: of the arena, of TensorFlow, or of a WebAssembly memory. */
export type Values = Float32Array | Uint16Array;

/** An array: bfloat16 if its values are 16 bits wide, else float32. */
export interface Operand {
  readonly values: Values;
  readonly dims: readonly number[];
  /** Strides in elements; row-major by default. */
  readonly strides?: readonly number[];
}

/** Returns the key of the shape that a primitive is compiled for. */
export function keyOf({ dims, strides, values }: Operand): string {
  return `${values.BYTES_PER_ELEMENT}:${dims}${strides === undefined ? '' : `/${strides}`}`;
}
