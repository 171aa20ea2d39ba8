import { type Choice, partsOf, type Rule, type Scores } from '../../architecture/rule.js';
import type { ParameterSpec } from '../../parameters/parameters.js';
import type { CommonMoe } from '../common-fields.js';
import { NEEDS_STATE } from './evaluate-rule.js';

// Shapes: d hidden size, E experts.

/**
 * Returns what is wrong with a rule: a parameter that does not exist or has the wrong shape, or a choice that does not fit the
 * domains; null if nothing. A rule of a user's file may also have an unknown operation, or lack a field.
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
  const misshapen =
    problemOfFields(CHOICES, choose) ??
    [weigh.by, affinities, ...(keep === null ? [] : [keep.scores])]
      .map((scores) => problemOfFields(SCORES, scores))
      .find((problem) => problem !== null);
  if (misshapen) return misshapen;
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

type Fields<Op extends string> = Readonly<Record<Op, readonly string[]>>;

const SCORES: Fields<Scores['op']> = {
  linear: ['weight'],
  cosine: ['weight'],
  grouped: ['factors'],
  groupedCosine: ['factors'],
  ofId: ['table'],
  parameter: ['parameter'],
  number: ['value'],
  add: ['left', 'right'],
  subtract: ['left', 'right'],
  multiply: ['left', 'right'],
  divide: ['left', 'right'],
  relu: ['of'],
  sigmoid: ['of'],
  tanh: ['of'],
  exp: ['of'],
  softmax: ['of'],
};
const CHOICES: Fields<Choice['op']> = {
  top: ['by', 'count'],
  topOfGroups: ['by', 'count', 'groups'],
  topP: ['by', 'count', 'sum'],
  table: ['tables'],
};

/** Returns which operation of a choice or of scores does not exist or lacks a field; null if none. */
function problemOfFields(operations: Fields<string>, its: unknown): string | null {
  const { op, ...values } = Object(its) as Readonly<Record<string, unknown>>;
  if (!Object.hasOwn(operations, String(op)))
    return `has op ${String(op)} instead of one of ${Object.keys(operations).join(', ')}`;
  for (const field of operations[String(op)]!) {
    if (values[field] === undefined) return `has ${String(op)} without ${field}`;
    const areScores = ['by', 'of', 'left', 'right'].includes(field);
    const problem = areScores ? problemOfFields(SCORES, values[field]) : null;
    if (problem !== null) return problem;
  }
  return null;
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
