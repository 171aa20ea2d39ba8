import type { GgufType } from './gguf-file.js';

/** Values of a block of Q8_0, which has them as bytes with one scale in float16 before them. */
const BLOCK = 32;
const BLOCK_BYTES = 2 + BLOCK;

/** Bytes of so many values; of Q8_0 they are whole blocks. */
export function bytesIn(type: GgufType, length: number): number {
  if (type === 'Q8_0') return (length / BLOCK) * BLOCK_BYTES;
  return length * (type === 'F32' ? 4 : 2);
}

/** Whether rows of so many values can be held in a type: a block of Q8_0 lies within one. */
export function fitsRows(type: GgufType, rowLength: number): boolean {
  return type !== 'Q8_0' || rowLength % BLOCK === 0;
}

/** Encodes values; those of Q8_0 are whole blocks. */
export function encodeAs(type: GgufType, values: Float32Array): Uint8Array {
  if (type === 'Q8_0') return q8Blocks(values);
  const numbers = type === 'F32' ? values : Uint16Array.from(values, float16Bits);
  return new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
}

/** ggml's reference: the scale is the greatest magnitude of a block over 127. */
function q8Blocks(values: Float32Array): Uint8Array {
  const encoded = Buffer.alloc(bytesIn('Q8_0', values.length));
  for (let at = 0, to = 0; at < values.length; at += BLOCK, to += BLOCK_BYTES) {
    const block = values.subarray(at, at + BLOCK);
    const scale = block.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127;
    encoded.writeUInt16LE(float16Bits(scale), to);
    block.forEach((value, i) => {
      encoded.writeInt8(scale === 0 ? 0 : Math.round(value / scale), to + 2 + i);
    });
  }
  return encoded;
}

const word = new Uint32Array(1);
const single = new Float32Array(word.buffer);
const LEAST_NORMAL = 2 ** -14;
/** Adding it rounds a smaller number to an integer, ties to even. */
const ROUNDER = 1.5 * 2 ** 52;

/** The bits of the nearest float16, ties to even; beyond the greatest one, infinity. */
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
