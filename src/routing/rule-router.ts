import { softmax } from '../architecture/build-rule.js';
import { type Choice, partsOf, type Rule, type Scores } from '../architecture/rule.js';
import { exactMatMul } from '../ops/operations.js';
import { tf } from '../ops/tensorflow.js';
import { unitRows } from '../ops/unit-rows.js';
import type { ParameterSpec } from '../parameters/parameters.js';
import { balanceLoss } from './balance-loss.js';
import type { CommonMoe } from './common-fields.js';
import { heldExperts } from './domain-groups.js';
import { classicFit } from './first-fit.js';
import { controlled } from './gate-control.js';
import { cosineAffinity, groupProjection, LEAST_SQUARED_NORM } from './grap.js';
import { cosineOfChoices, keepToGroup, sharesOfChoices, valuesOfChoices } from './group-choice.js';
import type { RouterPolicy } from './policy.js';
import type { CreatedRouter, RouterContext, RouterInput } from './router.js';
import { candidatesOf } from './top-choices.js';

// The router that a rule describes. Shapes: T tokens of this rank, d hidden size, E experts, K choices of a token.

/** Returns the router of one layer. */
export function createByPolicy<Moe extends CommonMoe>(
  policy: Pick<RouterPolicy<Moe>, 'create' | 'rule' | 'loss'>,
  context: RouterContext<Moe>,
): CreatedRouter {
  return policy.create === null ? ruleRouter(policy, context) : policy.create(context);
}

/**
 * Derives a router from its rule, which has no problem (`problemOfRule`). In training choices have the classic capacity, and the
 * auxiliary loss balances the scores by which experts are chosen, unless the policy has another loss. Outside nothing is dropped.
 */
function ruleRouter<Moe extends CommonMoe>(
  policy: Pick<RouterPolicy<Moe>, 'rule' | 'loss'>,
  context: RouterContext<Moe>,
): CreatedRouter {
  const { moe, dModel, expertsOfDomain } = context;
  const { choose, weigh } = policy.rule(moe, dModel)!;
  if (choose.op === 'table') throw new RangeError(NEEDS_STATE);
  const { by } = choose;
  const distribution = by.op === 'softmax' ? by : softmax(by);
  // A softmax ranks as its argument does, whose margins and entropies say more.
  const ranked = by.op === 'softmax' ? by.of : by;
  const cosines = cosinesOf(by);
  return {
    route(input) {
      const { domainsT, training, wantsScores } = input;
      const valuesOf = evaluator(input, context);
      const { numChoices, expertsTK } = candidatesOf(choose, valuesOf(by), domainsT, expertsOfDomain);
      const fitted = classicFit(context, expertsTK, training, numChoices);
      const weightsOf = weigh.share ? sharesOfChoices : valuesOfChoices;
      const floatsOf = (scores: Scores) => valuesOf(scores).dataSync<'float32'>().slice();
      const decision = {
        ...fitted,
        weightsTK: weightsOf(valuesOf(weigh.by), expertsTK, numChoices),
        scores: wantsScores ? { gateTE: floatsOf(ranked), biasE: null, preferenceTE: null } : undefined,
      };
      if (!training) return { ...decision, auxiliaryLoss: null, gateCosine: null };
      const weight = moe.auxiliaryLossWeight * heldExperts(moe).count;
      const balance = (scores: Scores) => balanceLoss(weight, fitted.routedByAllRanksE, valuesOf(scores));
      return {
        ...decision,
        auxiliaryLoss: policy.loss === null ? balance(distribution) : policy.loss(moe, { balance, valuesOf }),
        gateCosine: cosines && cosineOfChoices(floatsOf(cosines), expertsTK, numChoices),
      };
    },
  };
}

/** Returns the cosines of the first gate in scores; null if no gate reads the activations. */
function cosinesOf(scores: Scores): Scores | null {
  for (const part of partsOf(scores)) {
    if (part.op === 'cosine' || part.op === 'groupedCosine') return part;
    if (part.op === 'linear') return { ...part, op: 'cosine' };
    if (part.op === 'grouped') return { ...part, op: 'groupedCosine' };
  }
  return null;
}

const OPERATIONS = { add: 'add', subtract: 'sub', multiply: 'mul', divide: 'div' } as const;

/** Returns a function that computes scores for the tokens of an input, [T, E], differentiable. It computes each object once. */
function evaluator(
  input: RouterInput,
  { moe: { numExperts }, expertsOfDomain }: Pick<RouterContext, 'moe' | 'expertsOfDomain'>,
): (scores: Scores) => tf.Tensor2D {
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
        return gate(groupProjection(xTD, numExperts, factorsOf(scores.factors)));
      case 'groupedCosine':
        return gate(cosineAffinity(xTD, numExperts, factorsOf(scores.factors)));
      case 'ofId':
        throw new RangeError(NEEDS_STATE);
      case 'parameter':
        return named(scores.parameter);
      case 'number':
        return tf.scalar(scores.value);
      case 'softmax':
        return tf.softmax(keepToGroup(ofAll(scores.of), domainsT, expertsOfDomain));
      case 'add':
      case 'subtract':
      case 'multiply':
      case 'divide':
        return tf[OPERATIONS[scores.op]](valueFor(scores.left), valueFor(scores.right));
      default:
        return tf[scores.op](valueFor(scores.of));
    }
  }
  /** Repeats what is the same for all tokens or experts. */
  function ofAll(scores: Scores): tf.Tensor2D {
    const value = valueFor(scores);
    return value.size === shape[0] * shape[1] && value.rank === 2
      ? (value as tf.Tensor2D)
      : tf.add(tf.zeros(shape), value);
  }
  return ofAll;
}

const NEEDS_STATE = 'has a table, which is state: give the router a function create';

/**
 * Returns what is wrong with a rule: a parameter that does not exist or has the wrong shape, or a choice that does not fit the
 * domains; null if nothing.
 *
 * @param isDerived whether the router is derived from the rule, so that it has no state
 */
export function problemOfRule(
  { choose, keep, weigh, affinities }: Rule,
  specs: readonly ParameterSpec[],
  { numExperts: E, expertGroups }: CommonMoe,
  d: number,
  isDerived: boolean,
): string | null {
  if (isDerived && keep !== null)
    return 'keeps choices by thresholds, which are state: give the router a function create';
  const shapes = new Map(specs.map(({ name, shape }) => [name, shape]));
  const problemOf = (what: string, name: string | null, ...fitting: (readonly number[])[]): string | null => {
    if (name === null) return null;
    const shape = shapes.get(name);
    if (shape === undefined)
      return isDerived
        ? `names ${name}; the parameters are ${[...shapes.keys()].join(', ') || 'none'}`
        : null;
    if (fitting.some((each) => String(each) === String(shape))) return null;
    return `has ${what} of ${name}, whose shape is ${shown(shape)}, and not ${fitting.map(shown).join(' or ')}`;
  };
  for (const scores of [...(choose.op === 'table' ? [] : [choose.by]), weigh.by, affinities])
    for (const part of partsOf(scores)) {
      let problem: string | null = null;
      if ('weight' in part) problem = problemOf(part.op, part.weight, [d, E]);
      else if ('parameter' in part) problem = problemOf(part.op, part.parameter, [E], [1]);
      else if ('factors' in part)
        problem =
          d % E === 0
            ? problemOf(part.op, part.factors, [d])
            : `has ${part.op} gates, and moe.numExperts ${E} does not divide model.dModel ${d}`;
      else if (isDerived && part.op === 'ofId') problem = NEEDS_STATE;
      if (problem !== null) return problem;
    }
  if (choose.op !== 'table') return problemOfChoice(choose, Math.floor(E / expertGroups));
  return isDerived ? NEEDS_STATE : null;
}

function shown(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}

/** Returns what is wrong with a choice among `size` experts of a domain. */
function problemOfChoice(choose: Exclude<Choice, { readonly op: 'table' }>, size: number): string | null {
  const { count } = choose;
  if (!Number.isInteger(count) || count < 1) return `chooses ${count} experts`;
  if (choose.op === 'topP')
    return choose.sum > 0 ? null : `chooses experts whose scores sum to ${choose.sum}`;
  if (count > size) return `chooses ${count} of the ${size} experts of a domain`;
  const { groups, open } =
    choose.op === 'topOfGroups' ? { ...choose, open: choose.groups } : (choose.limit ?? ONE);
  return Number.isInteger(size / groups) &&
    Number.isInteger(count / open) &&
    count / open <= size / groups &&
    open <= groups
    ? null
    : `chooses ${count} experts in ${open} of ${groups} groups of the ${size} experts of a domain`;
}

const ONE = { groups: 1, open: 1 };
