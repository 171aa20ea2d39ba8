import { partsOf, type Rule, type Scores } from '../../architecture/rule.js';
import { chosenColumns, sharesOfColumns } from '../../ops/chosen-columns.js';
import { combine, curve, softmaxRows } from '../../ops/elementwise.js';
import { exactMatMul, groupProducts, unitRows } from '../../ops/operations.js';
import { tf } from '../../ops/tensorflow.js';
import { columnNorms, cosinesOfProducts } from '../gates/cosines.js';
import { controlled } from '../gates/gate-control.js';
import { cosineAffinity, cosinesOfProjection, LEAST_SQUARED_NORM } from '../gates/grap.js';
import type { GateScores, RouterContext, RouterInput } from '../router.js';
import { keepToGroup } from './group-choice.js';
import { type Candidates, candidatesOf } from './token-choice.js';

// Shapes: T tokens of this rank, d hidden size, E experts, K choices of a token, V vocabulary.

/** A rule applied to the tokens of an input. */
export interface EvaluatedRule {
  /** Computes scores, [T, E], differentiable; each object once. */
  valuesOf(scores: Scores): tf.Tensor2D;
  /** @param affinitiesTE affinities of the candidates, row-major [T, E]; by default the scores of the choice */
  choose(affinitiesTE?: Float32Array): Candidates;
  /** Computes the weights of the candidates, [T, K], differentiable. */
  weigh(candidates: Candidates): tf.Tensor2D;
  /** Returns the gate, bias and preference that scores are the sum of; undefined if the input does not want them. */
  recorded(scores: Scores): GateScores | undefined;
  /** Computes the cosines between tokens and the vectors of the gate, row-major [T, E]; null if the choice has no gate. */
  cosines(): Float32Array | null;
}

/** @param state values that the rule names beside the router's parameters: [E] or [1], or [V, E] for `ofId` */
export function evaluateRule(
  { choose, weigh }: Rule,
  { moe: { numExperts }, expertsOfDomain }: Pick<RouterContext, 'moe' | 'expertsOfDomain'>,
  input: RouterInput,
  state: ReadonlyMap<string, Float32Array> = new Map(),
): EvaluatedRule {
  if (choose.op === 'table') throw new RangeError(NEEDS_STATE);
  const { xTD, tokenIdsT, domainsT, parameters } = input;
  const shape: [number, number] = [tokenIdsT.length, numExperts];
  const known = new Map<Scores, tf.Tensor>();
  const named = <Named extends tf.Tensor = tf.Tensor2D>(name: string) => parameters.get(name) as Named;
  const factorsOf = (name: string | null) => (name === null ? null : named<tf.Tensor1D>(name));
  const gate = (gateTE: tf.Tensor2D) => controlled(gateTE, input.gateControl);
  function valueFor(scores: Scores): tf.Tensor {
    const value = known.get(scores) ?? compute(scores);
    known.set(scores, value);
    return value;
  }
  function compute(scores: Scores): tf.Tensor {
    switch (scores.op) {
      case 'linear':
        return gate(exactMatMul(xTD, named(scores.weight)));
      case 'cosine': {
        const weightDE = named(scores.weight);
        const normsE = tf.sqrt(tf.add(tf.sum(tf.square(weightDE), 0, true), LEAST_SQUARED_NORM));
        return gate(tf.div(exactMatMul(unitRows(xTD, LEAST_SQUARED_NORM), weightDE), normsE));
      }
      case 'grouped':
        return gate(groupProducts(xTD, numExperts, factorsOf(scores.factors)));
      case 'groupedCosine':
        return gate(cosineAffinity(xTD, numExperts, factorsOf(scores.factors)));
      case 'ofId':
        return tf.tensor2d(rowsOfIds(state.get(scores.table)!, tokenIdsT, numExperts), shape);
      case 'parameter':
        return named(scores.parameter) ?? tf.tensor1d(state.get(scores.parameter)!);
      case 'number':
        return tf.scalar(scores.value);
      case 'softmax':
        return softmaxRows(keepToGroup(valuesOf(scores.of), domainsT, expertsOfDomain));
      case 'add':
      case 'subtract':
      case 'multiply':
      case 'divide':
        return combine(scores.op, valueFor(scores.left), valueFor(scores.right));
      default:
        return curve(scores.op, valueFor(scores.of));
    }
  }
  /** Repeats what is the same for all tokens or experts. */
  function valuesOf(scores: Scores): tf.Tensor2D {
    const value = valueFor(scores);
    return value.size === shape[0] * shape[1] && value.rank === 2
      ? (value as tf.Tensor2D)
      : combine('add', tf.zeros(shape), value);
  }
  const floatsOf = (scores: Scores) => valuesOf(scores).dataSync<'float32'>().slice();
  return {
    valuesOf,
    choose(affinitiesTE) {
      const scoresTE = floatsOf(choose.by);
      return candidatesOf(choose, scoresTE, affinitiesTE ?? scoresTE, domainsT, expertsOfDomain);
    },
    weigh: ({ expertsTK, numChoices }) =>
      (weigh.share ? sharesOfColumns : chosenColumns)(valuesOf(weigh.by), expertsTK, numChoices),
    recorded(scores) {
      if (!input.wantsScores) return undefined;
      const [biased, preference] = summands(scores, 'ofId');
      const [own, bias] = summands(biased, 'parameter');
      return {
        gateTE: floatsOf(own),
        biasE: bias && floatsOf(bias).slice(0, numExperts),
        preferenceTE: preference && floatsOf(preference),
      };
    },
    cosines() {
      for (const part of partsOf(choose.by))
        switch (part.op) {
          case 'cosine':
          case 'groupedCosine':
            return floatsOf(part);
          case 'linear':
            return cosinesOfProducts(valuesOf(part), xTD, columnNorms(named(part.weight)));
          case 'grouped':
            return cosinesOfProjection(valuesOf(part), xTD, factorsOf(part.factors));
        }
      return null;
    },
  };
}

export const NEEDS_STATE = 'has a table, which is state: give the router a function create';

/** Splits off what is added last, if it is of this kind. */
function summands(scores: Scores, op: 'ofId' | 'parameter'): [Scores, Scores | null] {
  return scores.op === 'add' && scores.right.op === op ? [scores.left, scores.right] : [scores, null];
}

/** Returns the row of each token's id, row-major [T, E]. */
function rowsOfIds(tableVE: Float32Array, tokenIdsT: Int32Array, numExperts: number): Float32Array {
  const rowsTE = new Float32Array(tokenIdsT.length * numExperts);
  let to = 0;
  for (const id of tokenIdsT)
    for (let from = id * numExperts; from < (id + 1) * numExperts; from++) rowsTE[to++] = tableVE[from]!;
  return rowsTE;
}
