import type { Choice, Rule, Scores } from './rule.js';

// Functions that write a rule (rule.ts) as an expression: softmax(multiply(cosine('gate'), parameter('temperature'))).

type Operand = Scores | number;

function scoresOf(operand: Operand): Scores {
  return typeof operand === 'number' ? { op: 'number', value: operand } : operand;
}

/** x W with a parameter W, [d, E]. */
export function linear(weight: string): Scores {
  return { op: 'linear', weight };
}

/** Cosine between x and each column of a parameter, [d, E]. */
export function cosine(weight: string): Scores {
  return { op: 'cosine', weight };
}

/** x . w_i / |w_i| with the gates of GrAP (LocMoE, arXiv 2401.13920, eq. 4), times the factors in a parameter, [d], if given. */
export function grouped(factors: string | null = null): Scores {
  return { op: 'grouped', factors };
}

/** Cosine between x and the gates of GrAP, times their factors (ETR, arXiv 2406.00023, eq. 4). */
export function groupedCosine(factors: string | null = null): Scores {
  return { op: 'groupedCosine', factors };
}

/** The row of the token's id in a table, [V, E]. */
export function ofId(table: string): Scores {
  return { op: 'ofId', table };
}

/** A parameter, [E] or [1], the same for all tokens. */
export function parameter(name: string): Scores {
  return { op: 'parameter', parameter: name };
}

export function add(left: Operand, right: Operand): Scores {
  return { op: 'add', left: scoresOf(left), right: scoresOf(right) };
}

export function subtract(left: Operand, right: Operand): Scores {
  return { op: 'subtract', left: scoresOf(left), right: scoresOf(right) };
}

export function multiply(left: Operand, right: Operand): Scores {
  return { op: 'multiply', left: scoresOf(left), right: scoresOf(right) };
}

export function divide(left: Operand, right: Operand): Scores {
  return { op: 'divide', left: scoresOf(left), right: scoresOf(right) };
}

export function relu(of: Scores): Scores {
  return { op: 'relu', of };
}

export function sigmoid(of: Scores): Scores {
  return { op: 'sigmoid', of };
}

export function tanh(of: Scores): Scores {
  return { op: 'tanh', of };
}

export function exp(of: Scores): Scores {
  return { op: 'exp', of };
}

/** Softmax over the experts of the token's domain; 0 for all others. */
export function softmax(of: Scores): Scores {
  return { op: 'softmax', of };
}

/**
 * The `count` experts of the token's domain with the highest scores.
 *
 * @param limit only those of the `open` of `groups` equal parts of the domain's experts with the highest sums of their best scores
 */
export function top(
  by: Scores,
  count: number,
  limit: { readonly groups: number; readonly open: number } | null = null,
): Extract<Choice, { readonly op: 'top' }> {
  return { op: 'top', by, count, limit };
}

/** The best `count / groups` experts of each of `groups` equal parts of the domain's experts. */
export function topOfGroups(
  by: Scores,
  count: number,
  groups: number,
): Extract<Choice, { readonly op: 'topOfGroups' }> {
  return { op: 'topOfGroups', by, count, groups };
}

/** The fewest experts whose scores sum to `sum`, at most `count`. */
export function topP(by: Scores, count: number, sum: number): Extract<Choice, { readonly op: 'topP' }> {
  return { op: 'topP', by, count, sum };
}

/**
 * A rule in short. Choices are weighted by the scores by which they are chosen, divided by their sum if a token has several; or by
 * `weigh`. All choices are kept.
 */
export type ShortRule = Pick<Rule, 'choose'> & Partial<Rule>;

/** Returns the rule with what its short form leaves out. */
export function wholeRule({ choose, keep = null, weigh, affinities }: ShortRule): Rule {
  const weights = weigh ?? {
    by: choose.op === 'table' ? scoresOf(1) : choose.by,
    share: choose.op !== 'table' && choose.count > 1,
  };
  return { choose, keep, weigh: weights, affinities: affinities ?? weights.by };
}
