import {
  addIntegers,
  and,
  bits,
  equal,
  FLOATS_OF_VECTOR,
  FlatArrays,
  or,
  select,
  shiftLeft,
  shiftRight,
  type Vector,
  vectorKernel,
} from '../simd/index.js';

// A pair is two bfloat16 in 32 bits. Its members come from the two halves of a piece, not from neighbouring
// elements, so that a vector of pairs is made from two vectors without moving lanes.

/** Number of floats in half a piece. */
const HALF = 4096;

const UPPER = bits(0xffff0000);
/** Rounds to nearest, ties to even; NaN stays NaN. */
const rounded = (x: Vector): Vector => {
  const odd = and(shiftRight(x, 16), bits(1));
  const near = and(addIntegers(addIntegers(x, bits(0x7fff)), odd), UPPER);
  return select(near, bits(0x7fc00000), equal(x, x));
};

const pack = vectorKernel(['low', 'high', 'pairs'], [], (loop) => {
  const read = (half: 'low' | 'high') => loop.let(rounded(loop.let(loop.load(half))));
  const low = read('low');
  const high = read('high');
  loop.store('pairs', or(shiftRight(low, 16), high));
  loop.store('low', low);
  loop.store('high', high);
});
const unpack = vectorKernel(['low', 'high', 'pairs'], [], (loop) => {
  const pairs = loop.let(loop.load('pairs'));
  loop.store('low', shiftLeft(pairs, 16));
  loop.store('high', and(pairs, UPPER));
});

const { memory, arrays } = new FlatArrays<[low: Float32Array, high: Float32Array, pairs: Float32Array]>(
  HALF,
  3,
);
const [LOW, HIGH, PAIRS] = arrays;
const PAIR_BITS = new Uint32Array(memory.buffer, PAIRS.byteOffset, HALF);
const STARTS = { low: LOW.byteOffset, high: HIGH.byteOffset, pairs: PAIRS.byteOffset };

/** Returns the number of pairs that hold this many floats. */
export function numPairs(floats: number): number {
  return Math.ceil(floats / 2);
}

/** Rounds the values to bfloat16, in place, and writes them as pairs. */
export function packPairs(values: Float32Array, pairs: Uint32Array): void {
  forEachPiece(values, (low, high, begin) => {
    LOW.set(low);
    HIGH[low.length - 1] = 0;
    HIGH.set(high);
    pack.run(memory, vectorsOf(low.length), STARTS, {});
    low.set(LOW.subarray(0, low.length));
    high.set(HIGH.subarray(0, high.length));
    pairs.set(PAIR_BITS.subarray(0, low.length), begin);
  });
}

/** Converts each bfloat16 to float32. */
export function unpackPairs(pairs: Uint32Array, values: Float32Array): void {
  forEachPiece(values, (low, high, begin) => {
    PAIR_BITS.set(pairs.subarray(begin, begin + low.length));
    unpack.run(memory, vectorsOf(low.length), STARTS, {});
    low.set(LOW.subarray(0, low.length));
    high.set(HIGH.subarray(0, high.length));
  });
}

function vectorsOf(floats: number): number {
  return FLOATS_OF_VECTOR * Math.ceil(floats / FLOATS_OF_VECTOR);
}

/** @param visit called with the halves of a piece, of which the lower may be longer by one, and the index of the first pair */
function forEachPiece(
  values: Float32Array,
  visit: (low: Float32Array, high: Float32Array, begin: number) => void,
): void {
  for (let begin = 0; begin < values.length; begin += 2 * HALF) {
    const piece = values.subarray(begin, begin + 2 * HALF);
    const half = numPairs(piece.length);
    visit(piece.subarray(0, half), piece.subarray(half), begin / 2);
  }
}
