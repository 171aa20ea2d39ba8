import { createHash } from 'node:crypto';

/** A permutation of 0 .. n-1 that depends only on `n` and `key` (Fisher-Yates, seeded by the key's hash). */
export function seededPermutation(n: number, key: string): Uint32Array {
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

/** Doty-Humphrey's small fast counting generator: 128 bits of state, 32-bit outputs. */
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
