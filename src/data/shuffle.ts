import { createHash } from 'node:crypto';

/** A permutation of up to this many elements is stored as a list, of at most 16 MB; a longer one is computed. */
const MAX_LIST = 2 ** 22;
const ROUNDS = 6;

/** Returns a permutation of 0 .. n-1 that depends only on `n` and `key`. */
export function permutation(n: number, key: string): (index: number) => number {
  if (n > MAX_LIST) return cipherPermutation(n, key);
  const order = seededPermutation(n, key);
  return (index) => order[index]!;
}

/**
 * Builds a Feistel network over the least even number of bits that hold n; results outside the range are fed back
 * (cycle walking; Black and Rogaway 2002, "Ciphers with arbitrary finite domains"), about 4 times at most.
 */
function cipherPermutation(n: number, key: string): (index: number) => number {
  const halfBits = Math.ceil(Math.log2(n) / 2);
  const half = 2 ** halfBits;
  const random = sfc32(key);
  const roundKeys = Array.from({ length: ROUNDS }, random);
  return (index) => {
    let value = index;
    do {
      let left = Math.floor(value / half);
      let right = value % half;
      for (const roundKey of roundKeys) {
        let hash = Math.imul(right ^ roundKey, 0x85ebca6b);
        hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
        [left, right] = [right, left ^ ((hash ^ (hash >>> 16)) & (half - 1))];
      }
      value = left * half + right;
    } while (value >= n);
    return value;
  };
}

/** Returns a permutation of 0 .. n-1 that depends only on `n` and `key` (Fisher-Yates, seeded by the key's hash). */
function seededPermutation(n: number, key: string): Uint32Array {
  const random = sfc32(key);
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor((random() / 2 ** 32) * (i + 1));
    const moved = order[i]!;
    order[i] = order[j]!;
    order[j] = moved;
  }
  return order;
}

/** Creates Doty-Humphrey's small fast counting generator: 128 bits of state, 32-bit outputs. */
function sfc32(key: string): () => number {
  const seed = createHash('sha256').update(key).digest();
  let [a, b, c, d] = [0, 4, 8, 12].map((offset) => seed.readInt32LE(offset)) as [
    number,
    number,
    number,
    number,
  ];
  return () => {
    const out = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + out) | 0;
    return out >>> 0;
  };
}
