const word = new Uint32Array(1);
const single = new Float32Array(word.buffer);
const LEAST_NORMAL = 2 ** -14;
/** Adding this constant rounds a smaller number to an integer, ties to even. */
const ROUNDER = 1.5 * 2 ** 52;

/** Returns the bits of the nearest float16, ties to even; infinity beyond the largest float16. */
export function float16Bits(value: number): number {
  single[0] = value;
  const bits = word[0]!;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = Math.abs(single[0]);
  if (Number.isNaN(magnitude)) return sign | 0x7e00;
  if (magnitude < LEAST_NORMAL) return sign | (magnitude * 2 ** 24 + ROUNDER - ROUNDER);
  const rounded = (bits & 0x7fffffff) + 0xfff + ((bits >>> 13) & 1);
  return sign | Math.min(0x7c00, (rounded >>> 13) - (112 << 10));
}

/** Returns the smallest float16 that is at least a given non-negative number. */
export function float16AtLeast(value: number): number {
  const unit = 2 ** Math.max(-24, Math.floor(Math.log2(value)) - 10);
  return Math.ceil(value / unit) * unit;
}
