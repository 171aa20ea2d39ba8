/** Converts bfloat16, the upper half of a float32, to float32. */
export function fromBfloat16(bits: Uint16Array): Float32Array {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16;
  return new Float32Array(words.buffer);
}

/** Converts IEEE 754 half precision to float32. */
export function fromFloat16(bits: Uint16Array): Float32Array {
  float16s ??= allFloat16s();
  const values = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) values[i] = float16s[bits[i]!]!;
  return values;
}

/** The value of every half-precision number, by its bits; computed when one is first converted. */
let float16s: Float32Array | undefined;

const allFloat16s = () =>
  Float32Array.from({ length: 2 ** 16 }, (_, bits) => {
    const [sign, exponent, fraction] = [bits >>> 15, (bits >>> 10) & 31, (bits & 1023) / 1024];
    const size =
      exponent === 31
        ? fraction === 0
          ? Number.POSITIVE_INFINITY
          : Number.NaN
        : exponent === 0
          ? fraction * 2 ** -14
          : (1 + fraction) * 2 ** (exponent - 15);
    return sign === 1 ? -size : size;
  });
