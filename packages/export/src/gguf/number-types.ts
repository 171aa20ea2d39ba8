import { float16Bits } from './float16.js';
import type { GgufType } from './gguf-file.js';
import { q4KBlocks, SUPER_BLOCK, SUPER_BLOCK_BYTES } from './q4-k.js';

/** Number of values and bytes of a block. A block of Q8_0 has one float16 scale, then bytes. */
const BLOCKS: Readonly<Record<GgufType, { readonly values: number; readonly bytes: number }>> = {
  F32: { values: 1, bytes: 4 },
  F16: { values: 1, bytes: 2 },
  Q8_0: { values: 32, bytes: 2 + 32 },
  Q4_K: { values: SUPER_BLOCK, bytes: SUPER_BLOCK_BYTES },
};

/** Returns the number of values that are encoded together. */
export function blockLength(type: GgufType): number {
  return BLOCKS[type].values;
}

/** Returns the number of bytes of `length` values, which must be whole blocks. */
export function bytesIn(type: GgufType, length: number): number {
  return (length / BLOCKS[type].values) * BLOCKS[type].bytes;
}

/** Whether a type can hold rows of `rowLength` values: a block must lie within one row. */
export function fitsRows(type: GgufType, rowLength: number): boolean {
  return rowLength % BLOCKS[type].values === 0;
}

/** Encodes values, which must be whole blocks. */
export function encodeAs(type: GgufType, values: Float32Array): Uint8Array {
  if (type === 'Q4_K') return q4KBlocks(values);
  if (type === 'Q8_0') return q8Blocks(values);
  const numbers = type === 'F32' ? values : Uint16Array.from(values, float16Bits);
  return new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
}

/** Encodes blocks of Q8_0. As in ggml's reference, the scale is the greatest magnitude divided by 127. */
function q8Blocks(values: Float32Array): Uint8Array {
  const encoded = Buffer.alloc(bytesIn('Q8_0', values.length));
  const { values: length, bytes } = BLOCKS.Q8_0;
  for (let at = 0, to = 0; at < values.length; at += length, to += bytes) {
    const block = values.subarray(at, at + length);
    const scale = block.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127;
    encoded.writeUInt16LE(float16Bits(scale), to);
    block.forEach((value, i) => {
      encoded.writeInt8(scale === 0 ? 0 : Math.round(value / scale), to + 2 + i);
    });
  }
  return encoded;
}
