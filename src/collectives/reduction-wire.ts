import { numPairs, packPairs, unpackPairs } from './bfloat16-pairs.js';
import type { WirePrecision } from './communicator.js';

/** Buffers of one step; no other block in flight uses them. */
export interface Buffers {
  /** Returns a buffer for the values of the i-th other member. */
  floats(i: number, length: number): Float32Array;
  /** Returns a buffer for what the step sends and receives. */
  pairs(i: number, length: number): Uint32Array;
}

export interface Wire {
  /**
   * Returns the bytes to send. Values that are rounded for sending are also rounded in `values`, so that all
   * members add the same.
   */
  leave(values: Float32Array): Uint8Array;
  /** Returns a buffer for incoming bytes; `finish` converts them to `values`. */
  arrive(values: Float32Array): { readonly bytes: Uint8Array; readonly finish: () => void };
}

const inFloat32 = (): Wire => ({
  leave: bytesOf,
  arrive: (values) => ({ bytes: bytesOf(values), finish() {} }),
});

function inBfloat16(buffers: Buffers): Wire {
  let taken = 0;
  const take = ({ length }: Float32Array) => buffers.pairs(taken++, numPairs(length));
  return {
    leave(values) {
      const pairs = take(values);
      packPairs(values, pairs);
      return bytesOf(pairs);
    },
    arrive(values) {
      const pairs = take(values);
      return { bytes: bytesOf(pairs), finish: () => unpackPairs(pairs, values) };
    },
  };
}

export function wireOf(precision: WirePrecision = 'float32'): (buffers: Buffers) => Wire {
  return precision === 'float32' ? inFloat32 : inBfloat16;
}

function bytesOf(data: Float32Array | Uint32Array): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
