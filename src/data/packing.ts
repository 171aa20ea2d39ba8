import { MARK } from './template.js';

/** Tokens [begin, end) of a split: a sample, or the last part of a sample that is longer than a sequence. */
export interface PackedSample {
  readonly begin: number;
  readonly end: number;
}

/** Samples that share a sequence. */
export type PackedRow = readonly PackedSample[];

export interface Packing {
  readonly rows: readonly PackedRow[];
  readonly numSamples: number;
  /** Samples whose beginning was cut off. */
  readonly numCut: number;
  /** Samples whose last answer alone is too long. */
  readonly numLeftOut: number;
}

/** Returns the number of positions of a sample: one for each token but the last, which is only a target. */
export function positionsOf({ begin, end }: PackedSample): number {
  return end - begin - 1;
}

/**
 * Packs samples into sequences by best fit, longest first (Ding et al. 2024, arXiv 2404.10830, section 3).
 * The result depends only on the samples' lengths.
 *
 * @param marks marks of the tokens of all samples
 */
export function packSamples(marks: Uint8Array, seqLen: number): Packing {
  const samples = samplesIn(marks);
  const fitting = samples.flatMap((sample) => fitted(sample, marks, seqLen) ?? []);
  const rows: PackedSample[][] = [];
  /** Sequences by the number of positions that are left in them. */
  const withRoom: PackedSample[][][] = Array.from({ length: seqLen + 1 }, () => []);
  const longestFirst = fitting.toSorted((a, b) => positionsOf(b) - positionsOf(a) || a.begin - b.begin);
  for (const sample of longestFirst) {
    const length = positionsOf(sample);
    let room = length;
    while (room <= seqLen && withRoom[room]!.length === 0) room++;
    const row = room <= seqLen ? withRoom[room]!.pop()! : [];
    if (room > seqLen) {
      rows.push(row);
      room = seqLen;
    }
    row.push(sample);
    withRoom[room - length]!.push(row);
  }
  return {
    rows,
    numSamples: fitting.length,
    numCut: fitting.filter(({ begin }) => marks[begin] !== MARK.begin).length,
    numLeftOut: samples.length - fitting.length,
  };
}

function samplesIn(marks: Uint8Array): PackedSample[] {
  const samples: PackedSample[] = [];
  for (let begin = 0; begin < marks.length; ) {
    const next = marks.indexOf(MARK.begin, begin + 1);
    const end = next < 0 ? marks.length : next;
    samples.push({ begin, end });
    begin = end;
  }
  return samples;
}

/** Returns the last part of a sample that fits a sequence; null if that lacks the last answer or a token before it. */
function fitted(sample: PackedSample, marks: Uint8Array, seqLen: number): PackedSample | null {
  if (positionsOf(sample) <= seqLen) return sample;
  const begin = sample.end - 1 - seqLen;
  let answer = sample.end;
  while (marks[answer - 1] === MARK.answer) answer--;
  return begin < answer ? { begin, end: sample.end } : null;
}
