import { mapTuple } from '../../../map-tuple.js';
import { type AttentionShape, keyValueHeadsOf } from '../kernels.js';
import type { Context } from './context.js';
import type { Operand } from './operand.js';
import type { Primitives } from './primitives.js';

// Shapes: B sequences, S positions, H heads of queries, K of keys and values, h = d / H size of a head, N sequences
// that are computed at a time, Q queries of a block, L keys that they attend to. Among the heads of queries that share
// keys and values, one is computed at a time: a phase has K heads.

/** Queries per block; with fewer, products would be too small. */
const BLOCK = 64;
/** Most scores of several sequences that are computed at a time, so that they stay in the caches. */
const MOST_SCORES = 1 << 16;

interface Block {
  /** Positions of the queries. */
  readonly begin: number;
  readonly end: number;
}

/** A block of N consecutive sequences; its queries may attend to the keys from `first` to its end, except masked ones. */
interface Sight extends Block {
  /** The first of the N sequences. */
  readonly sequence: number;
  readonly first: number;
  /** It is -1e9 where a query must not attend to a key: [N, 1, Q, L]. The library is slow with one mask for all sequences. */
  readonly mask: Operand;
}

function blocksOf(seqLen: number): Block[] {
  return Array.from({ length: Math.ceil(seqLen / BLOCK) }, (_, i) => ({
    begin: i * BLOCK,
    end: Math.min(seqLen, (i + 1) * BLOCK),
  }));
}

/**
 * Visits what a block attends to in each sequence. The range starts at the first query's segment, rounded down to a block
 * boundary, so that there are few shapes to compile, and the work for long sequences of short segments grows only linearly.
 * Sequences with the same range are visited together, always as many, again for few shapes; others one by one.
 */
function eachSight(
  { memory }: Context,
  { begin, end }: Block,
  shape: AttentionShape,
  look: (sight: Sight) => void,
): void {
  const { numSequences, seqLen, positionsT } = shape;
  const positionOf = (sequence: number, query: number) => positionsT?.[sequence * seqLen + query] ?? query;
  const firstOf = (sequence: number) => Math.floor((begin - positionOf(sequence, begin)) / BLOCK) * BLOCK;
  for (let sequence = 0, count = 1; sequence < numSequences; sequence += count) {
    const first = firstOf(sequence);
    const numKeys = end - first;
    const fitting = Math.max(1, Math.floor(MOST_SCORES / (keyValueHeadsOf(shape) * (end - begin) * numKeys)));
    const together = Math.ceil(numSequences / Math.ceil(numSequences / fitting));
    count = 1;
    while (count < together && sequence + count < numSequences && firstOf(sequence + count) === first)
      count++;
    if (count < together) count = 1;
    memory.borrow([count, 1, end - begin, numKeys], 'float32', (mask) => {
      mask.values.fill(-1e9);
      for (let i = 0, row = -first; i < count; i++)
        for (let query = begin; query < end; query++, row += numKeys)
          mask.values.fill(0, row + query - positionOf(sequence + i, query), row + query + 1);
      look({ begin, end, sequence, first, mask });
    });
  }
}

/** The matrices of each sequence's K heads in an array [T, width]: the first at `column`, the others `apart` apart. */
class Heads {
  constructor(
    private readonly array: Operand,
    private readonly shape: AttentionShape,
    private readonly column: number,
    /** h */
    readonly size: number,
    private readonly apart: number,
  ) {}

  /** Returns the operand [N, K, end - begin, h], or [N, K, h, end - begin], of the sequences that a mask is for. */
  of({ sequence, mask }: Sight, begin: number, end: number, transposed = false): Operand {
    const { size, apart } = this;
    const { seqLen } = this.shape;
    const width = this.array.dims[1]!;
    const matrices = [mask.dims[0]!, keyValueHeadsOf(this.shape)];
    const values = this.array.values.subarray((sequence * seqLen + begin) * width + this.column);
    return transposed
      ? { values, dims: [...matrices, size, end - begin], strides: [seqLen * width, apart, 1, width] }
      : { values, dims: [...matrices, end - begin, size], strides: [seqLen * width, apart, width, 1] };
  }
}

function swap({ values, dims }: Operand): Operand {
  const [sequences, heads, rows, columns] = dims as [number, number, number, number];
  const size = rows * columns;
  return { values, dims: [sequences, heads, columns, rows], strides: [heads * size, size, 1, columns] };
}

/**
 * Computes softmax(q k^T / sqrt(h) + causal mask) v for every head, one block of queries of a few sequences at a time,
 * so that scores stay in the caches.
 *
 * @param qkv [T, (H + 2 K) h], of the operand type
 * @param y [T, d]
 */
export function attentionForward(context: Context, qkv: Operand, y: Operand, shape: AttentionShape): void {
  const { primitives } = context;
  const h = y.dims[1]! / shape.numHeads;
  const phases = phasesOf(qkv, shape, h);
  const results = phasesOf(y, shape, h);
  for (const block of blocksOf(shape.seqLen))
    eachSight(context, block, shape, (sight) =>
      withScores(context, sight, shape, (scores, narrow) => {
        const { begin, first, end } = sight;
        phases.forEach((heads, phase) => {
          probabilities(primitives, scores, heads, sight);
          const result = results[phase]!.q.of(sight, begin, end);
          primitives.product(narrow(scores), heads.v.of(sight, first, end), result);
        });
      }),
    );
}

/**
 * Computes the gradient, with recomputed probabilities: dS = P (dP - D), where D, the row sums of dP P, equals the row
 * sums of dy y (FlashAttention, arXiv 2205.14135, appendix B.2).
 *
 * @param dy [T, d], of the operand type
 * @param rows y and dy in float32
 * @param qkv as in the forward pass
 * @param dQkv [T, (H + 2 K) h]
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
  const h = dy.dims[1]! / shape.numHeads;
  const [phases, gradients, dResults] = mapTuple([qkv, dQkv, dy], (each) => phasesOf(each, shape, h));
  // Blocks are visited from the last one, which attends to all keys and therefore initializes the sums,
  // unless there are segments; the other blocks add to its sums.
  const isWhole = shape.positionsT === undefined;
  if (!isWhole) dQkv.values.fill(0);
  const minusD = minusDOf(rows, h);
  for (const block of blocksOf(shape.seqLen).reverse())
    eachSight(context, block, shape, (sight) =>
      withScores(context, sight, shape, (scores, narrow) =>
        withScores(context, sight, shape, (dScores, narrowGradient) => {
          const { begin, first, end } = sight;
          phases.forEach((heads, phase) => {
            const { q, k, v } = heads;
            const scale = 1 / Math.sqrt(h);
            const accumulate = !isWhole || end < shape.seqLen || phase > 0;
            const { q: dq, k: dk, v: dv } = gradients[phase]!;
            probabilities(primitives, scores, heads, sight);
            const dResult = dResults[phase]!.q.of(sight, begin, end);
            primitives.product(swap(narrow(scores)), dResult, dv.of(sight, first, end), { accumulate });
            fillRows(dScores, minusD, phase, sight, shape);
            const options = { accumulate: true, factor: scores };
            primitives.product(dResult, v.of(sight, first, end, true), dScores, options);
            const operand = narrowGradient(dScores);
            primitives.product(operand, k.of(sight, first, end), dq.of(sight, begin, end), { scale });
            primitives.product(swap(operand), q.of(sight, begin, end), dk.of(sight, first, end), {
              scale,
              accumulate,
            });
          });
        }),
      ),
    );
}

/** Computes -D for every query and head: [T, H]. */
function minusDOf({ y, dy }: { readonly y: Operand; readonly dy: Operand }, h: number): Float32Array {
  const [ys, dys] = [y.values, dy.values];
  const minusD = new Float32Array(ys.length / h);
  for (let i = 0, at = 0; i < minusD.length; i++) {
    let sum = 0;
    for (const end = at + h; at < end; at++) sum += ys[at]! * dys[at]!;
    minusD[i] = -sum;
  }
  return minusD;
}

/** Fills every row of [N, K, Q, L] with the -D of its query and head. */
function fillRows(
  { values, dims }: Operand,
  minusDTH: Float32Array,
  phase: number,
  { begin, sequence }: Sight,
  { seqLen, numHeads }: AttentionShape,
): void {
  const [numSequences, heads, numQueries, numKeys] = dims as [number, number, number, number];
  for (let i = 0, row = 0; i < numSequences; i++)
    for (let head = 0; head < heads; head++) {
      let at = ((sequence + i) * seqLen + begin) * numHeads + (head * numHeads) / heads + phase;
      for (const end = row + numQueries * numKeys; row < end; row += numKeys, at += numHeads)
        values.fill(minusDTH[at]!, row, row + numKeys);
    }
}

/** The heads of a phase; its query heads are H / K heads apart. */
interface Phase {
  readonly q: Heads;
  readonly k: Heads;
  readonly v: Heads;
}

/** @param array [T, (H + 2 K) h], or [T, d] if only `q` is used */
function phasesOf(array: Operand, shape: AttentionShape, h: number): Phase[] {
  const numKeyValueHeads = keyValueHeadsOf(shape);
  const numPhases = shape.numHeads / numKeyValueHeads;
  const d = shape.numHeads * h;
  return Array.from({ length: numPhases }, (_, phase) => ({
    q: new Heads(array, shape, phase * h, h, numPhases * h),
    k: new Heads(array, shape, d, h, h),
    v: new Heads(array, shape, d + numKeyValueHeads * h, h, h),
  }));
}

/** Computes the probabilities of a phase's heads: [N, K, Q, L]. */
function probabilities(primitives: Primitives, into: Operand, { q, k }: Phase, sight: Sight): void {
  const { begin, first, end, mask } = sight;
  const options = { scale: 1 / Math.sqrt(q.size), addend: mask };
  primitives.product(q.of(sight, begin, end), k.of(sight, first, end, true), into, options);
  primitives.softmax(into, into);
}

/** Provides scratch memory for [N, K, Q, L], and a function that converts it to an operand of products. */
function withScores(
  { primitives, memory, type }: Context,
  { mask }: Sight,
  shape: AttentionShape,
  use: (scores: Operand, narrow: (scores: Operand) => Operand) => void,
): void {
  const dims = mask.dims.with(1, keyValueHeadsOf(shape));
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
