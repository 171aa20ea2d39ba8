import type { AttentionShape } from '../kernels.js';
import type { Context } from './context.js';
import type { Operand } from './operand.js';
import type { Primitives } from './primitives.js';

// Shapes: B sequences, S positions, H heads, h = d / H size of a head, Q queries of a block, K keys that they see.

/** Queries of a block; fewer would make products too small. */
const BLOCK = 64;

interface Block {
  /** Positions of the queries. */
  readonly begin: number;
  readonly end: number;
}

/** The keys that the queries of a block may see in one sequence: those from `first` to the block's end, but for a mask. */
interface Sight {
  readonly sequence: number;
  readonly first: number;
  /** -1e9 where a query does not see a key: [1, Q, K] */
  readonly mask: Operand;
}

function blocksOf(seqLen: number): Block[] {
  return Array.from({ length: Math.ceil(seqLen / BLOCK) }, (_, i) => ({
    begin: i * BLOCK,
    end: Math.min(seqLen, (i + 1) * BLOCK),
  }));
}

/** Masks by block for sequences of one segment: -1e9 where a query would see a later key. */
const masks = new Map<string, Operand>();

function maskOf({ begin, end }: Block): Operand {
  const key = `${begin} ${end}`;
  let mask = masks.get(key);
  if (mask === undefined) {
    const values = new Float32Array((end - begin) * end);
    for (let query = begin; query < end; query++)
      values.fill(-1e9, (query - begin) * end + query + 1, (query - begin + 1) * end);
    mask = { values, dims: [1, end - begin, end] };
    masks.set(key, mask);
  }
  return mask;
}

/**
 * What a block sees in each sequence. Segments before the first query's are left out, up to a block's boundary: few
 * shapes, and the work of long sequences of short segments grows with their length alone.
 */
function eachSight(
  { memory }: Context,
  { begin, end }: Block,
  { numSequences, seqLen, positionsT }: AttentionShape,
  look: (sight: Sight) => void,
): void {
  for (let sequence = 0; sequence < numSequences; sequence++) {
    if (positionsT === undefined) {
      look({ sequence, first: 0, mask: maskOf({ begin, end }) });
      continue;
    }
    const positionsS = positionsT.subarray(sequence * seqLen, (sequence + 1) * seqLen);
    const first = Math.floor((begin - positionsS[begin]!) / BLOCK) * BLOCK;
    const numKeys = end - first;
    memory.borrow([1, end - begin, numKeys], 'float32', (mask) => {
      mask.values.fill(-1e9);
      for (let query = begin; query < end; query++) {
        const row = (query - begin) * numKeys - first;
        mask.values.fill(0, row + query - positionsS[query]!, row + query + 1);
      }
      look({ sequence, first, mask });
    });
  }
}

/** The matrices of one sequence's heads in an array [T, width], whose head columns begin at `column`. */
class Heads {
  readonly #h: number;

  constructor(
    private readonly array: Operand,
    readonly shape: AttentionShape,
    readonly d: number,
    /** Width of a row. */
    private readonly width: number,
    private readonly column: number,
  ) {
    this.#h = d / shape.numHeads;
  }

  /** [H, end - begin, h], or [H, h, end - begin]. */
  of(sequence: number, begin: number, end: number, transposed = false): Operand {
    const { numHeads, seqLen } = this.shape;
    const h = this.#h;
    const values = this.array.values.subarray((sequence * seqLen + begin) * this.width + this.column);
    return transposed
      ? { values, dims: [numHeads, h, end - begin], strides: [h, 1, this.width] }
      : { values, dims: [numHeads, end - begin, h], strides: [h, this.width, 1] };
  }
}

function swap({ values, dims: [groups, rows, columns] }: Operand): Operand {
  return { values, dims: [groups!, columns!, rows!], strides: [rows! * columns!, 1, columns!] };
}

/**
 * softmax(q k^T / sqrt(h) + causal mask) v for every head, a sequence and a block of queries at a time: scores stay in
 * the caches.
 *
 * @param qkv [T, 3 d], of the type of operands
 * @param y [T, d]
 */
export function attentionForward(context: Context, qkv: Operand, y: Operand, shape: AttentionShape): void {
  const { primitives } = context;
  const d = y.dims[1]!;
  const [q, k, v] = thirds(qkv, shape, d);
  const results = new Heads(y, shape, d, d, 0);
  for (const block of blocksOf(shape.seqLen))
    eachSight(context, block, shape, (sight) =>
      withScores(context, block, sight, shape, (scores, narrow) => {
        const { sequence, first } = sight;
        probabilities(primitives, scores, q, k, block, sight);
        primitives.product(
          narrow(scores),
          v.of(sequence, first, block.end),
          results.of(sequence, block.begin, block.end),
        );
      }),
    );
}

/**
 * The gradient, with the probabilities computed again: dS = P (dP - D), where D, the row sums of dP P, are those of dy y
 * (FlashAttention, arXiv 2205.14135, appendix B.2).
 *
 * @param dy [T, d], of the type of operands
 * @param rows y and dy in float32
 * @param qkv as in the forward
 * @param dQkv [T, 3 d]
 */
export function attentionBackward(
  context: Context,
  dy: Operand,
  rows: { readonly y: Operand; readonly dy: Operand },
  qkv: Operand,
  dQkv: Operand,
  shape: AttentionShape,
): void {
  const { primitives } = context;
  const d = dy.dims[1]!;
  const scale = scaleOf(shape, d);
  const [q, k, v] = thirds(qkv, shape, d);
  const [dq, dk, dv] = thirds(dQkv, shape, d);
  const dResults = new Heads(dy, shape, d, d, 0);
  // Blocks are visited from the last one, which sees all keys, unless there are segments; the others add to its sums.
  const isWhole = shape.positionsT === undefined;
  if (!isWhole) dQkv.values.fill(0);
  for (const block of blocksOf(shape.seqLen).reverse()) {
    const { begin, end } = block;
    const accumulate = !isWhole || end < shape.seqLen;
    eachSight(context, block, shape, (sight) =>
      withScores(context, block, sight, shape, (scores, narrow) =>
        withScores(context, block, sight, shape, (dScores, narrowGradient) => {
          const { sequence, first } = sight;
          probabilities(primitives, scores, q, k, block, sight);
          const dResult = dResults.of(sequence, begin, end);
          primitives.product(swap(narrow(scores)), dResult, dv.of(sequence, first, end), { accumulate });
          fillWithMinusD(dScores, rows, sequence * shape.seqLen + begin);
          const options = { accumulate: true, factor: scores };
          primitives.product(dResult, v.of(sequence, first, end, true), dScores, options);
          const operand = narrowGradient(dScores);
          primitives.product(operand, k.of(sequence, first, end), dq.of(sequence, begin, end), { scale });
          primitives.product(swap(operand), q.of(sequence, begin, end), dk.of(sequence, first, end), {
            scale,
            accumulate,
          });
        }),
      ),
    );
  }
}

/** Every row of [H, Q, K] with its -D. @param from row of the first query in `y` and `dy` */
function fillWithMinusD(
  into: Operand,
  { y, dy }: { readonly y: Operand; readonly dy: Operand },
  from: number,
): void {
  const [numHeads, numQueries, numKeys] = into.dims as [number, number, number];
  const h = y.dims[1]! / numHeads;
  let at = from * y.dims[1]!;
  for (let query = 0; query < numQueries; query++)
    for (let head = 0; head < numHeads; head++) {
      let sum = 0;
      for (const end = at + h; at < end; at++) sum += y.values[at]! * dy.values[at]!;
      const row = (head * numQueries + query) * numKeys;
      into.values.fill(-sum, row, row + numKeys);
    }
}

/** Queries, keys and values. */
function thirds(array: Operand, shape: AttentionShape, d: number): [Heads, Heads, Heads] {
  const third = (index: number) => new Heads(array, shape, d, 3 * d, index * d);
  return [third(0), third(1), third(2)];
}

/** Returns the probabilities of a sequence's heads: [H, Q, K]. */
function probabilities(
  primitives: Primitives,
  into: Operand,
  q: Heads,
  k: Heads,
  { begin, end }: Block,
  { sequence, first, mask }: Sight,
): void {
  const options = { scale: scaleOf(q.shape, q.d), addend: mask };
  primitives.product(q.of(sequence, begin, end), k.of(sequence, first, end, true), into, options);
  primitives.softmax(into, into);
}

/** Scratch for [H, Q, K], and a function that makes an operand of products of it. */
function withScores(
  { primitives, memory, type }: Context,
  { begin, end }: Block,
  { first }: Sight,
  { numHeads }: AttentionShape,
  use: (scores: Operand, narrow: (scores: Operand) => Operand) => void,
): void {
  const dims = [numHeads, end - begin, end - first];
  memory.borrow(dims, 'float32', (scores) => {
    if (type === 'float32') return use(scores, (same) => same);
    memory.borrow(dims, type, (narrow) =>
      use(scores, (wide) => {
        primitives.copy(wide, narrow);
        return narrow;
      }),
    );
  });
}

/** 1 / sqrt(h). */
function scaleOf({ numHeads }: AttentionShape, d: number): number {
  return 1 / Math.sqrt(d / numHeads);
}
