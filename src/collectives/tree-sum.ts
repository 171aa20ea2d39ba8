import { add, FLOATS_OF_VECTOR, FlatArrays, type Vector, vectorKernel } from '../simd/index.js';

/** Floats summed at a time; this many of a few arrays stay in the L1 and L2 caches. */
const PIECE_FLOATS = 4096;

const addTwo = vectorKernel(['out', 'a', 'b'], [], (loop) => {
  loop.store('out', add(loop.load('a'), loop.load('b')));
});
/** Two levels of the tree in one pass. */
const addFour = vectorKernel(['out', 'a', 'b', 'c', 'd'], [], (loop) => {
  const half = (x: 'a' | 'c', y: 'b' | 'd'): Vector => add(loop.load(x), loop.load(y));
  loop.store('out', add(half('a', 'b'), half('c', 'd')));
});

/** Work memory of the loops; replaced by a larger one for more inputs. */
let pieces = new FlatArrays(PIECE_FLOATS, 4);

/** Returns the largest power of two below `count`, which is at least 2. */
function split(count: number): number {
  return 2 ** (31 - Math.clz32(count - 1));
}

/**
 * Adds arrays of equal length into `target`, in the order of a binary tree over their indices that splits at the
 * largest power of two: ((0+1)+(2+3))+4 and so on. Every partial sum is rounded to float32, so a sum of sums over
 * aligned blocks of a power of two has the same bits as the sum over all. `target` may be one of the inputs.
 *
 * Even with the copies into its memory, SIMD takes a fraction of the time of a loop over typed arrays.
 */
export function treeSum(target: Float32Array, inputs: readonly Float32Array[]): void {
  if (inputs.length > pieces.arrays.length) pieces = new FlatArrays(PIECE_FLOATS, inputs.length);
  for (let begin = 0; begin < target.length; begin += PIECE_FLOATS) {
    const end = Math.min(target.length, begin + PIECE_FLOATS);
    for (let i = 0; i < inputs.length; i++) pieces.arrays[i]!.set(inputs[i]!.subarray(begin, end));
    addRange(0, inputs.length, FLOATS_OF_VECTOR * Math.ceil((end - begin) / FLOATS_OF_VECTOR));
    target.set(pieces.arrays[0]!.subarray(0, end - begin), begin);
  }
}

/** Leaves the sum of `count` pieces in the first piece. */
function addRange(from: number, count: number, numFloats: number): void {
  if (count === 1) return;
  const start = (i: number) => pieces.arrays[from + i]!.byteOffset;
  if (count === 4) {
    const starts = { out: start(0), a: start(0), b: start(1), c: start(2), d: start(3) };
    addFour.run(pieces.memory, numFloats, starts, {});
    return;
  }
  const half = split(count);
  addRange(from, half, numFloats);
  addRange(from + half, count - half, numFloats);
  addTwo.run(pieces.memory, numFloats, { out: start(0), a: start(0), b: start(half) }, {});
}
