import { TrainerError } from '../errors.js';
import type { TokenSplit } from './dataset.js';
import { type Packing, packSamples, positionsOf } from './packing.js';
import { MARK } from './template.js';

/** Rows of a batch to be filled; each array has `seqLen` elements per sequence. */
export interface SequenceRows {
  readonly tokenIds: Int32Array;
  readonly targets: Int32Array;
  /** Layout of packed samples; null where every sequence is one text. */
  readonly packed: { readonly positions: Int32Array; readonly counted: Uint8Array } | null;
}

/** Tokens [begin, end) of a split. */
export interface TokenRange {
  readonly begin: number;
  readonly end: number;
}

/** The sequences of one split of a domain. */
export interface Sequences {
  readonly count: number;
  /** How samples were packed; null for text. */
  readonly packing: Packing | null;
  /** Returns the ranges of tokens that make up a sequence. */
  rangesOf(index: number): readonly TokenRange[];
  /** Returns the number of targets of a sequence that count in the loss. */
  countedIn(index: number): number;
  /** Writes a sequence to the elements from `at` on. */
  fill(index: number, rows: SequenceRows, at: number): void;
}

export function sequencesOf(split: TokenSplit, endOfText: number, seqLen: number): Sequences {
  return split.marks === null
    ? textSequences(split, seqLen)
    : packedSequences(split, split.marks, endOfText, seqLen);
}

/** Cuts windows of seqLen + 1 tokens every seqLen tokens, so that every token but the first is predicted exactly once. */
function textSequences({ ids }: TokenSplit, seqLen: number): Sequences {
  return {
    count: Math.max(0, Math.floor((ids.length - 1) / seqLen)),
    packing: null,
    rangesOf: (index) => [{ begin: index * seqLen, end: (index + 1) * seqLen + 1 }],
    countedIn: () => seqLen,
    fill(index, { tokenIds, targets, packed }, at) {
      const window = ids.slice(index * seqLen, (index + 1) * seqLen + 1);
      tokenIds.set(window.subarray(0, seqLen), at);
      targets.set(window.subarray(1), at);
      if (packed === null) return;
      packed.counted.fill(1, at, at + seqLen);
      countUp(packed.positions, at, at + seqLen);
    },
  };
}

/** Packs samples side by side; the rest of a sequence is a segment of end-of-text tokens, none of which counts. */
function packedSequences(
  { ids }: TokenSplit,
  marks: Uint8Array,
  endOfText: number,
  seqLen: number,
): Sequences {
  const packing = packSamples(marks, seqLen);
  return {
    count: packing.rows.length,
    packing,
    rangesOf: (index) => packing.rows[index]!,
    countedIn: (index) =>
      packing.rows[index]!.reduce((sum, { begin, end }) => {
        for (let i = begin + 1; i < end; i++) if (marks[i] === MARK.answer) sum++;
        return sum;
      }, 0),
    fill(index, { tokenIds, targets, packed }, first) {
      if (packed === null) throw new TrainerError('INTERNAL', 'packed samples in a batch of text');
      let at = first;
      for (const sample of packing.rows[index]!) {
        const { begin, end } = sample;
        const tokens = ids.slice(begin, end);
        const length = positionsOf(sample);
        tokenIds.set(tokens.subarray(0, length), at);
        targets.set(tokens.subarray(1), at);
        for (let i = 0; i < length; i++)
          packed.counted[at + i] = Number(marks[begin + 1 + i] === MARK.answer);
        countUp(packed.positions, at, at + length);
        at += length;
      }
      const end = first + seqLen;
      tokenIds.fill(endOfText, at, end);
      targets.fill(endOfText, at, end);
      packed.counted.fill(0, at, end);
      countUp(packed.positions, at, end);
    },
  };
}

/** Writes 0, 1, 2, ... to values[begin, end). */
function countUp(values: Int32Array, begin: number, end: number): void {
  for (let i = begin; i < end; i++) values[i] = i - begin;
}
