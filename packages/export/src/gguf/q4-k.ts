import { float16AtLeast, float16Bits } from './float16.js';

// Q4_K of ggml: a super-block of 256 values has 8 blocks of 32. A value is scale * level + minimum, with a
// level of 4 bits; the scale and the negated minimum of a block are 6-bit numbers, each multiplied by a
// float16 of the super-block.

export const SUPER_BLOCK = 256;
/** Bytes: the two float16, 16 numbers of 6 bits, 256 levels of 4 bits. */
export const SUPER_BLOCK_BYTES = 4 + 12 + SUPER_BLOCK / 2;
const BLOCK = 32;
const BLOCKS = SUPER_BLOCK / BLOCK;
const MOST_LEVEL = 15;
const MOST_6_BITS = 63;
/** Tried numbers of levels between minimum and maximum; more than 15 clip the outermost values. */
const SPANS = Array.from({ length: 13 }, (_, i) => 13.5 + i / 4);

/** Encodes values, which must be whole super-blocks. */
export function q4KBlocks(values: Float32Array): Uint8Array {
  const encoded = Buffer.alloc((values.length / SUPER_BLOCK) * SUPER_BLOCK_BYTES);
  for (let at = 0, to = 0; at < values.length; at += SUPER_BLOCK, to += SUPER_BLOCK_BYTES)
    encodeSuperBlock(values.subarray(at, at + SUPER_BLOCK), encoded.subarray(to, to + SUPER_BLOCK_BYTES));
  return encoded;
}

function encodeSuperBlock(values: Float32Array, encoded: Buffer): void {
  const blocks = Array.from({ length: BLOCKS }, (_, i) => values.subarray(i * BLOCK, (i + 1) * BLOCK));
  const lines = blocks.map(fitLine);
  const scales = sixBits(lines.map(({ scale }) => scale));
  const leasts = sixBits(lines.map(({ least }) => -least));
  encoded.writeUInt16LE(float16Bits(scales.unit), 0);
  encoded.writeUInt16LE(float16Bits(leasts.unit), 2);
  packSixBits(scales.numbers, leasts.numbers, encoded.subarray(4, 16));
  blocks.forEach((block, i) => {
    const scale = scales.unit * scales.numbers[i]!;
    const inverse = scale === 0 ? 0 : 1 / scale;
    const least = -leasts.unit * leasts.numbers[i]!;
    // Two blocks share 32 bytes: the first has the lower 4 bits of each.
    const [start, shift] = [16 + (i >> 1) * BLOCK, (i & 1) * 4];
    block.forEach((value, j) => {
      encoded[start + j]! |= levelOf((value - least) * inverse) << shift;
    });
  });
}

function levelOf(position: number): number {
  return Math.max(0, Math.min(MOST_LEVEL, (position + 0.5) | 0));
}

/**
 * Finds a scale and a minimum, at most 0, of a block with a small squared error: for each of several numbers
 * of levels, the least-squares line through the values as a function of their levels.
 */
function fitLine(block: Float32Array): { scale: number; least: number } {
  let [low, high, sumX] = [0, Number.NEGATIVE_INFINITY, 0];
  for (const x of block) {
    low = Math.min(low, x);
    high = Math.max(high, x);
    sumX += x;
  }
  const best = { scale: 0, least: low };
  if (high === low) return best;
  let leastError = Number.POSITIVE_INFINITY;
  for (const span of SPANS) {
    const inverse = span / (high - low);
    let [sumL, sumLL, sumLX] = [0, 0, 0];
    for (const x of block) {
      const level = levelOf((x - low) * inverse);
      sumL += level;
      sumLL += level * level;
      sumLX += level * x;
    }
    let scale = (BLOCK * sumLX - sumL * sumX) / (BLOCK * sumLL - sumL * sumL);
    let least = (sumX - scale * sumL) / BLOCK;
    // If all levels are equal, there is no line.
    if (!(least <= 0)) [scale, least] = [sumLX / sumLL, 0];
    // The sum of (scale * level + least - x)^2, without the constant sum of x^2.
    const error = scale * (scale * sumLL + 2 * least * sumL - 2 * sumLX) + least * (BLOCK * least - 2 * sumX);
    if (error >= leastError) continue;
    leastError = error;
    Object.assign(best, { scale, least });
  }
  return best;
}

/**
 * Returns 6-bit numbers for non-negative amounts, and the float16 of which they are multiples. The float16 is
 * rounded up to at least a 63rd of the greatest amount, so that small amounts do not get a scale of 0.
 */
function sixBits(amounts: readonly number[]): { unit: number; numbers: number[] } {
  const unit = float16AtLeast(Math.max(...amounts) / MOST_6_BITS);
  return { unit, numbers: amounts.map((amount) => (unit === 0 ? 0 : Math.round(amount / unit))) };
}

/**
 * Packs 8 scales and 8 minimums. Bytes 0-3 and 4-7 have the first four of each, with 2 upper bits of the last
 * four above; bytes 8-11 have the lower 4 bits of the last four.
 */
function packSixBits(scales: readonly number[], leasts: readonly number[], packed: Buffer): void {
  for (let i = 0; i < 4; i++) {
    const [scale, least] = [scales[i + 4]!, leasts[i + 4]!];
    packed[i] = scales[i]! | ((scale >> 4) << 6);
    packed[i + 4] = leasts[i]! | ((least >> 4) << 6);
    packed[i + 8] = (scale & 15) | ((least & 15) << 4);
  }
}
