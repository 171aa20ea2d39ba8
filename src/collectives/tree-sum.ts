/** The largest power of two below `count`, which is at least 2. */
function split(count: number): number {
  return 2 ** (31 - Math.clz32(count - 1));
}

/**
 * Adds arrays of equal length into `target`, always in the order of one binary tree over their indices that splits
 * at the largest power of two: ((0+1)+(2+3))+4 and so on. Every partial sum is rounded to float32, so a sum of sums
 * over aligned blocks of a power of two has the same bits as the sum over all. Overwrites the inputs; `target` may
 * be one of them.
 */
export function treeSum(target: Float32Array, inputs: readonly Float32Array[]): void {
  const sum = addRange(inputs, 0, inputs.length, target);
  if (sum !== target) target.set(sum);
}

function addRange(
  inputs: readonly Float32Array[],
  from: number,
  count: number,
  target: Float32Array | null,
): Float32Array {
  if (count === 1) return inputs[from];
  const half = split(count);
  if (count === 4) {
    const out = target ?? inputs[from];
    addFour(out, inputs[from], inputs[from + 1], inputs[from + 2], inputs[from + 3]);
    return out;
  }
  const left = addRange(inputs, from, half, null);
  const right = addRange(inputs, from + half, count - half, null);
  const out = target ?? left;
  for (let i = 0; i < out.length; i++) out[i] = left[i] + right[i];
  return out;
}

/** Two levels of the tree in one pass over memory. */
function addFour(
  out: Float32Array,
  a: Float32Array,
  b: Float32Array,
  c: Float32Array,
  d: Float32Array,
): void {
  for (let i = 0; i < out.length; i++) out[i] = Math.fround(a[i] + b[i]) + Math.fround(c[i] + d[i]);
}
