import { numPairs, packPairs, unpackPairs } from './bfloat16-pairs.js';
import type { WirePrecision } from './communicator.js';

/** Room of a step, numbered; no other block in flight uses it. */
export interface Buffers {
  /** Returns room for the values of the i-th other member. */
  floats(i: number, length: number): Float32Array;
  /** Returns room for what the step sends and receives. */
  pairs(i: number, length: number): Uint32Array;
}

export interface Wire {
  /** The bytes to send. What has to be rounded for that is rounded in `values` too, so that all add the same. */
  leave(values: Float32Array): Uint8Array;
  /** Room for bytes that are sent; `finish` makes them `values`. */
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
