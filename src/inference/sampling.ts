import { TrainerError } from '../errors.js';

// Shapes: V vocabulary.

/** How the next token is drawn. */
export interface Sampling {
  /** Divides the logits; 0 always takes the likeliest token. */
  readonly temperature: number;
  /** Draws from the k likeliest tokens; null for all. */
  readonly topK: number | null;
  /**
   * Draws from the smallest set of likeliest tokens whose probabilities sum to p (nucleus sampling, arXiv 1904.09751,
   * eq. 2), among the top k; 1 for all.
   */
  readonly topP: number;
  /**
   * Divides positive and multiplies negative logits of the tokens of the context (CTRL, arXiv 1909.05858,
   * section 4.1); 1 changes nothing.
   */
  readonly repetitionPenalty: number;
}

/**
 * Draws a token.
 *
 * @param logits length V
 * @param context tokens of prompt and output, for the penalty
 * @param uniform random, in (0, 1)
 */
export function sample(
  logits: Float32Array,
  context: readonly number[],
  { temperature, topK, topP, repetitionPenalty }: Sampling,
  uniform: number,
): number {
  const scores = penalized(logits, context, repetitionPenalty);
  const best = indexOfMax(scores);
  if (Number.isNaN(scores[best]))
    throw new TrainerError('NOT_FINITE', 'the model gives NaN: its weights are of no use');
  if (temperature === 0) return best;
  const weightOf = (id: number) => Math.exp((scores[id]! - scores[best]!) / temperature);
  const draw = (ids: Int32Array, mass: number) => {
    let left = uniform * mass;
    for (const id of ids) {
      left -= weightOf(id);
      if (left < 0) return id;
    }
    // Rounding may leave a remainder after the last weight.
    return best;
  };
  const k = Math.min(topK ?? scores.length, scores.length);
  const ids = topK === null ? Int32Array.from(scores.keys()) : likeliest(scores, k);
  const total = ids.reduce((mass, id) => mass + weightOf(id), 0);
  if (topP >= 1) return draw(ids, total);
  // A few usually suffice; sorting all of a large vocabulary would take longer than the model.
  for (let count = FEW; ; count *= FEW) {
    const sorted = likeliest(scores, Math.min(count, k));
    let mass = 0;
    let kept = 0;
    while (kept < sorted.length && mass < topP * total) mass += weightOf(sorted[kept++]!);
    if (mass >= topP * total || sorted.length === k) return draw(sorted.subarray(0, kept), mass);
  }
}

/** Up to this many elements, a sorted list is maintained by insertion. */
const FEW = 64;

/** Returns the k tokens of the greatest scores, best first; ties go to the lower id. */
export function likeliest(scores: Float32Array, k: number): Int32Array {
  if (k > FEW)
    return Int32Array.from(scores.keys())
      .sort((a, b) => scores[b]! - scores[a]! || a - b)
      .subarray(0, k);
  const ids = new Int32Array(k);
  let count = 0;
  for (let id = 0; id < scores.length; id++) {
    if (count === k && scores[id]! <= scores[ids[k - 1]!]!) continue;
    let place = Math.min(count, k - 1);
    for (; place > 0 && scores[ids[place - 1]!]! < scores[id]!; place--) ids[place] = ids[place - 1]!;
    ids[place] = id;
    count = Math.min(count + 1, k);
  }
  return ids;
}

function indexOfMax(scores: Float32Array): number {
  let best = 0;
  for (let id = 1; id < scores.length; id++) if (scores[id]! > scores[best]!) best = id;
  return best;
}

function penalized(logits: Float32Array, context: readonly number[], penalty: number): Float32Array {
  if (penalty === 1) return logits;
  const scores = logits.slice();
  for (const id of new Set(context))
    scores[id] = logits[id]! > 0 ? logits[id]! / penalty : logits[id]! * penalty;
  return scores;
}
