import { mapTuple } from '../../../map-tuple.js';
import { type AttentionShape, keyValueHeadsOf } from '../kernels.js';
import type { Context } from './context.js';
import type { Operand } from './operand.js';
import type { Primitives } from './primitives.js';

// Shapes: B sequences, S positions, H heads of queries, K of keys and values, h = d / H size of a head, Q
// queries of a block, L keys that they attend to. Among the heads of queries that share keys and values, one
// is computed at a time: a phase has K heads.

/** Queries per block; with fewer, products would be too small. */
const BLOCK = 64;

interface Block {
  /** Positions of the queries. */
  readonly begin: number;
  readonly end: number;
}

/**
 * The keys that the queries of a block may attend to in one sequence: from `first` to the end of the block, except masked ones.
 */
interface Sight {
  readonly sequence: number;
  readonly first: number;
  /** -1e9 where a query must not attend to a key: [1, Q, L] */
  readonly mask: Operand;
}

function blocksOf(seqLen: number): Block[] {
  return Array.from({ length: Math.ceil(seqLen / BLOCK) }, (_, i) => ({
    begin: i * BLOCK,
    end: Math.min(seqLen, (i + 1) * BLOCK),
  }));
}

/** Masks by block for sequences with a single segment: -1e9 for keys after the query. */
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
 * Visits what a block attends to in each sequence. The range starts at the first query's segment, rounded down to a block
 * boundary, so that there are few shapes to compile, and the work for long sequences of short segments grows only linearly.
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

/** The matrices of a sequence's K heads in an array [T, width]: the first at `column`, the others `apart` apart. */
class Heads {
  constructor(
    private readonly array: Operand,
    private readonly shape: AttentionShape,
    private readonly column: number,
    /** h */
    readonly size: number,
    private readonly apart: number,
  ) {}

  /** Returns the operand [K, end - begin, h], or [K, h, end - begin]. */
  of(sequence: number, begin: number, end: number, transposed = false): Operand {
    const { size, apart } = this;
    const width = this.array.dims[1]!;
    const numHeads = keyValueHeadsOf(this.shape);
    const values = this.array.values.subarray((sequence * this.shape.seqLen + begin) * width + this.column);
    return transposed
      ? { values, dims: [numHeads, size, end - begin], strides: [apart, 1, width] }
      : { values, dims: [numHeads, end - begin, size], strides: [apart, width, 1] };
  }
}

function swap({ values, dims: [groups, rows, columns] }: Operand): Operand {
  return { values, dims: [groups!, columns!, rows!], strides: [rows! * columns!, 1, columns!] };
}

/**
 * Computes softmax(q k^T / sqrt(h) + causal mask) v for every head, one sequence and one block of queries at a time, so
 * that scores stay in the caches.
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
      withScores(context, block, sight, shape, (scores, narrow) => {
        const { sequence, first } = sight;
        phases.forEach((heads, phase) => {
          probabilities(primitives, scores, heads, block, sight);
          const result = results[phase]!.q.of(sequence, block.begin, block.end);
          primitives.product(narrow(scores), heads.v.of(sequence, first, block.end), result);
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
  for (const block of blocksOf(shape.seqLen).reverse()) {
    const { begin, end } = block;
    eachSight(context, block, shape, (sight) =>
      withScores(context, block, sight, shape, (scores, narrow) =>
        withScores(context, block, sight, shape, (dScores, narrowGradient) => {
          const { sequence, first } = sight;
          phases.forEach((heads, phase) => {
            const { q, k, v } = heads;
            const scale = 1 / Math.sqrt(h);
            const accumulate = !isWhole || end < shape.seqLen || phase > 0;
            const { q: dq, k: dk, v: dv } = gradients[phase]!;
            probabilities(primitives, scores, heads, block, sight);
            const dResult = dResults[phase]!.q.of(sequence, begin, end);
            primitives.product(swap(narrow(scores)), dResult, dv.of(sequence, first, end), { accumulate });
            fillWithMinusD(dScores, rows, sequence * shape.seqLen + begin, phase * h, h);
            const options = { accumulate: true, factor: scores };
            primitives.product(dResult, v.of(sequence, first, end, true), dScores, options);
            const operand = narrowGradient(dScores);
            primitives.product(operand, k.of(sequence, first, end), dq.of(sequence, begin, end), { scale });
            primitives.product(swap(operand), q.of(sequence, begin, end), dk.of(sequence, first, end), {
              scale,
              accumulate,
            });
          });
        }),
      ),
    );
  }
}

/**
 * Fills every row of [K, Q, L] with its -D.
 *
 * @param from row of the first query in `y` and `dy`; `column` is that of the first head
 */
function fillWithMinusD(
  into: Operand,
  { y, dy }: { readonly y: Operand; readonly dy: Operand },
  from: number,
  column: number,
  h: number,
): void {
  const [numHeads, numQueries, numKeys] = into.dims as [number, number, number];
  const d = y.dims[1]!;
  const apart = d / numHeads;
  for (let query = 0; query < numQueries; query++)
    for (let head = 0; head < numHeads; head++) {
      let sum = 0;
      let at = (from + query) * d + head * apart + column;
      for (const end = at + h; at < end; at++) sum += y.values[at]! * dy.values[at]!;
      const row = (head * numQueries + query) * numKeys;
      into.values.fill(-sum, row, row + numKeys);
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

/** Returns the probabilities of a phase's heads in a sequence: [K, Q, L]. */
function probabilities(
  primitives: Primitives,
  into: Operand,
  { q, k }: Phase,
  { begin, end }: Block,
  { sequence, first, mask }: Sight,
): void {
  const options = { scale: 1 / Math.sqrt(q.size), addend: mask };
  primitives.product(q.of(sequence, begin, end), k.of(sequence, first, end, true), into, options);
  primitives.softmax(into, into);
}

/** Provides scratch memory for [K, Q, L], and a function that converts it to an operand of products. */
function withScores(
  { primitives, memory, type }: Context,
  { begin, end }: Block,
  { first }: Sight,
  shape: AttentionShape,
  use: (scores: Operand, narrow: (scores: Operand) => Operand) => void,
): void {
  const dims = [keyValueHeadsOf(shape), end - begin, end - first];
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
