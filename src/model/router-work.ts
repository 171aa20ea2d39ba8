import type { Rule, Scores } from '../architecture/rule.js';
import { keeping, type PassWork, pass, plus, product } from './pass-work.js';

// Shapes: T tokens, d hidden size, E experts, K choices of a token.

/** Stands for the rule of a router that has none: one expert by the softmax of a dense gate. */
export const PLAIN_RULE: Rule = (() => {
  const by: Scores = { op: 'softmax', of: { op: 'linear', weight: 'weight' } };
  return {
    choose: { op: 'top', by, count: 1, limit: null },
    keep: null,
    weigh: { by, share: false },
    affinities: by,
  };
})();

/** Whether the outputs of experts are multiplied by weights, which have gradients. */
export function hasWeights({ weigh: { by, share } }: Rule<unknown>): boolean {
  return share || by.op !== 'number' || by.value !== 1;
}

/** Returns the work of a router in training: its scores, each computed once, and what is done with them. */
export function ruleWork({ choose, weigh }: Rule<unknown>, T: number, d: number, E: number): PassWork {
  if (choose.op === 'table') return keeping(0);
  const all = new Set<Scores<unknown>>();
  const collect = (scores: Scores<unknown>) => {
    if (all.has(scores)) return;
    all.add(scores);
    if ('of' in scores) collect(scores.of);
    if ('left' in scores) [scores.left, scores.right].forEach(collect);
  };
  [choose.by, weigh.by].forEach(collect);
  const size = T * E;
  return plus([
    ...[...all].map((scores) => scoresWork(scores, T, d, E)),
    // The choice, its weights, and the load-balance loss.
    pass([0, 4 * size, 12], [0, 12 * size, 12]),
    ...(weigh.share ? [pass([0, 4 * T * choose.count, 1], [0, 4 * T * choose.count, 4])] : []),
  ]);
}

/** Returns the work of one operation on scores, without those that it is applied to. */
function scoresWork(scores: Scores<unknown>, T: number, d: number, E: number): PassWork {
  const size = T * E;
  // Gradients of the tokens are added to those of the dispatch.
  const gate = plus([product(T, d, E), pass([0, 0, 2], [0, 3 * T * d, 1])]);
  const sums = pass([0, 2 * size, 4], [0, 5 * T * d, 2]);
  const unit = pass([0, 2 * T * d, 2], [0, 2 * T * d, 1]);
  const factors = pass([0, 0, 5], [0, 0, 1]);
  switch (scores.op) {
    case 'linear':
      return gate;
    case 'cosine':
      return plus([gate, unit, pass([0, 2 * size, 8], [0, 5 * size, 14])]);
    case 'grouped':
      return scores.factors === null ? sums : plus([sums, factors]);
    case 'groupedCosine':
      return scores.factors === null ? plus([sums, unit]) : plus([sums, unit, factors]);
    case 'softmax':
      return pass([0, 2 * size, 2], [0, 2 * size, 2]);
    case 'ofId':
    case 'parameter':
    case 'number':
      return keeping(0);
    default:
      return pass([0, 2 * size, 3], [0, 4 * size, 3]);
  }
}
