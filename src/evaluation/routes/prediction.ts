import { type Codes, mostFrequent } from './codes.js';

/** How well held-out choices are predicted from facts about their tokens. */
export interface Prediction {
  /**
   * Share of the choices with a known key that equal the most frequent choice of the key in the other half;
   * NaN if no key is known.
   */
  readonly share: number;
  /** Half the width of the 95 % interval of the share, with sequences as the sampling units. */
  readonly error: number;
  /** Share of the choices whose key occurs in the other half. */
  readonly coverage: number;
}

/**
 * Predicts the label of each row: the most frequent label of its key in the half that the row is not in. If
 * rows were counted in their own prediction, the share would be 1 for every key that occurs once.
 *
 * @param halves 0 or 1 for each row, equal within a sequence
 */
export function predict(keys: Codes, labels: Codes, halves: Uint8Array, sequences: Codes): Prediction {
  const best = [1, 0].map((half) => mostFrequent(keys, labels, (row) => halves[row] === half));
  const known = new Float64Array(sequences.count);
  const right = new Float64Array(sequences.count);
  keys.of.forEach((key, row) => {
    const label = best[halves[row]!]![key]!;
    if (label < 0) return;
    const sequence = sequences.of[row]!;
    known[sequence]!++;
    if (label === labels.of[row]) right[sequence]!++;
  });
  const numKnown = sum(known);
  const share = sum(right) / numKnown;
  // The ratio of two sums over sequences, linearised (Cochran, Sampling Techniques, section 6.3).
  const squares = right.reduce(
    (total, count, sequence) => total + (count - share * known[sequence]!) ** 2,
    0,
  );
  const { count } = sequences;
  const error = (1.96 * Math.sqrt((squares * count) / Math.max(1, count - 1))) / numKnown;
  return { share, error, coverage: numKnown / keys.of.length };
}

function sum(values: Float64Array): number {
  return values.reduce((total, value) => total + value, 0);
}
