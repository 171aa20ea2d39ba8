import { TrainerError } from '../errors.js';

// Shapes: V vocabulary.

/** How the next token is drawn. */
export interface Sampling {
  /** Divides the logits; 0 always takes the likeliest token. */
  readonly temperature: number;
  /** Draws from the k likeliest tokens; null for all. */
  readonly topK: number | null;
  /**
   * Draws from the fewest likeliest tokens whose probabilities sum to p (nucleus sampling, arXiv 1904.09751,
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
  if (temperature === 0) return likeliest(scores, 1)[0];
  // Rounding may leave more in the draw than all weights together.
  const draw = (ids: Int32Array | number[], weights: readonly number[], total: number) => {
    let left = uniform * total;
    for (let i = 0; i < weights.length; i++) {
      left -= weights[i];
      if (left < 0) return ids[i];
    }
    return ids[0];
  };
  if (Number.isNaN(scores[0]))
    throw new TrainerError('NOT_FINITE', 'the model gives NaN: its weights are of no use');
  const k = topK === null ? scores.length : Math.min(topK, scores.length);
  const ids = likeliest(scores, k);
  const weights = Array.from(ids, (id) => Math.exp((scores[id] - scores[ids[0]]) / temperature));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (topP >= 1) return draw(ids, weights, total);
  let kept = 0;
  let count = 0;
  while (count < weights.length && kept < topP * total) kept += weights[count++];
  return draw(ids, weights.slice(0, count), kept);
}

/** The k tokens of the greatest scores, best first; ties go to the lower id. */
export function likeliest(scores: Float32Array, k: number): Int32Array {
  if (k === 1) return Int32Array.of(indexOfMax(scores));
  const least = scores.slice().sort()[scores.length - k];
  const chosen: number[] = [];
  let numAbove = 0;
  for (let id = 0; id < scores.length; id++) if (scores[id] > least) numAbove++;
  let ties = k - numAbove;
  for (let id = 0; id < scores.length; id++)
    if (scores[id] > least || (scores[id] === least && ties-- > 0)) chosen.push(id);
  return Int32Array.from(chosen.sort((a, b) => scores[b] - scores[a]));
}

function indexOfMax(scores: Float32Array): number {
  let best = 0;
  for (let id = 1; id < scores.length; id++) if (scores[id] > scores[best]) best = id;
  return best;
}

function penalized(logits: Float32Array, context: readonly number[], penalty: number): Float32Array {
  if (penalty === 1) return logits;
  const scores = logits.slice();
  for (const id of new Set(context))
    scores[id] = logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty;
  return scores;
}
