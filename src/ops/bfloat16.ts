const NOT_FINITE = 0x7f800000;
const QUIET_NAN = 0x40;

/** Rounds to the nearest bfloat16, ties to even: the upper 16 bits of a float32. */
export function narrow(
  values: Float32Array,
  into: Uint16Array = new Uint16Array(values.length),
): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < bits.length; i++) {
    const x = bits[i]!;
    // Rounding could turn a NaN into infinity.
    into[i] = (x & 0x7fffffff) > NOT_FINITE ? (x >>> 16) | QUIET_NAN : (x + 0x7fff + ((x >>> 16) & 1)) >>> 16;
  }
  return into;
}

/** Returns the float32 of each bfloat16. */
export function widen(
  values: Uint16Array,
  into: Float32Array = new Float32Array(values.length),
): Float32Array {
  const bits = new Uint32Array(into.buffer, into.byteOffset, into.length);
  for (let i = 0; i < values.length; i++) bits[i] = values[i]! << 16;
  return into;
}
