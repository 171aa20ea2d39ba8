// The rule of a router outside training, as data. Shapes: T tokens, d hidden size, E experts, D domains, V vocabulary.
//
// `P` refers to a parameter or a state of the router: a short name in a router's own rule, name and shape in an
// `Architecture`.

/** Scores of the experts for each token, [T, E]. */
export type Scores<P = string> =
  /** x W, [d, E]. */
  | { readonly op: 'linear'; readonly weight: P }
  /** Cosine between x and each column of W, [d, E]. */
  | { readonly op: 'cosine'; readonly weight: P }
  /**
   * x . w_i / |w_i| with gate w_i = 1 on the i-th group of d / E coordinates (GrAP; LocMoE, arXiv 2401.13920, eq. 4), x first
   * multiplied by `factors`, [d], if there are any.
   */
  | { readonly op: 'grouped'; readonly factors: P | null }
  /** Cosine between x and these gates, times their factors (ETR, arXiv 2406.00023, eq. 4). */
  | { readonly op: 'groupedCosine'; readonly factors: P | null }
  /** The row of the token's id in a table, [V, E]. */
  | { readonly op: 'ofId'; readonly table: P }
  /** The same for all tokens, [E] or [1]. */
  | { readonly op: 'parameter'; readonly parameter: P }
  | { readonly op: 'number'; readonly value: number }
  | {
      readonly op: 'add' | 'subtract' | 'multiply' | 'divide';
      readonly left: Scores<P>;
      readonly right: Scores<P>;
    }
  | { readonly op: 'relu' | 'sigmoid' | 'tanh' | 'exp'; readonly of: Scores<P> }
  /** Softmax over the experts of the token's domain; 0 for all others. */
  | { readonly op: 'softmax'; readonly of: Scores<P> };

/**
 * Chooses candidates among the experts of a token's domain, those with the highest scores; ties go to the lower id.
 * Groups are `count` equal parts of the domain's experts, in the order of their ids.
 */
export type Choice<P = string> =
  /** The best `count`; with `limit`, only of the `open` groups with the highest sums of their best `count / open` scores. */
  | {
      readonly op: 'top';
      readonly by: Scores<P>;
      readonly count: number;
      readonly limit: { readonly groups: number; readonly open: number } | null;
    }
  /** The best `count / groups` of each group. */
  | { readonly op: 'topOfGroups'; readonly by: Scores<P>; readonly count: number; readonly groups: number }
  /** The fewest whose scores sum to `sum`, at most `count`. */
  | { readonly op: 'topP'; readonly by: Scores<P>; readonly count: number; readonly sum: number }
  /** The expert of each table; none at all where the first table, which is that of the token's own id, has -1. */
  | { readonly op: 'table'; readonly tables: readonly ExpertTable<P>[] };

/** Experts by domain and by one id, which is that of the token or of an earlier one. */
export interface ExpertTable<P = string> {
  /** [D, V] */
  readonly experts: P;
  /** The distance of the token whose id counts; the first token that attention sees counts where fewer stand before. */
  readonly before: number;
}

/** A router's decision outside training, which depends on the token alone. */
export interface Rule<P = string> {
  readonly choose: Choice<P>;
  /** An expert keeps the candidates whose scores reach its threshold, [E]; null keeps all. */
  readonly keep: { readonly scores: Scores<P>; readonly threshold: P } | null;
  /** Weight of the expert's output. */
  readonly weigh: {
    readonly by: Scores<P>;
    /** Divides the scores by their sum over the token's candidates, whether they are kept or not. */
    readonly share: boolean;
  };
  /** Readers of a decision are shown these scores as the affinity between token and expert. */
  readonly affinities: Scores<P>;
}

/** Returns the parts of scores, themselves first. */
export function* partsOf<P>(scores: Scores<P>): Generator<Scores<P>> {
  yield scores;
  if ('of' in scores) yield* partsOf(scores.of);
  if ('left' in scores) for (const part of [scores.left, scores.right]) yield* partsOf(part);
}

/** Returns the scores with each parameter replaced; parts that were one object stay one object. */
function mapScores<P, Q>(
  scores: Scores<P>,
  replace: (parameter: P, op: Scores<P>['op']) => Q,
  seen = new Map<Scores<P>, Scores<Q>>(),
): Scores<Q> {
  const known = seen.get(scores);
  if (known !== undefined) return known;
  const inner = (of: Scores<P>) => mapScores(of, replace, seen);
  const mapped = ((): Scores<Q> => {
    switch (scores.op) {
      case 'linear':
      case 'cosine':
        return { op: scores.op, weight: replace(scores.weight, scores.op) };
      case 'grouped':
      case 'groupedCosine':
        return {
          op: scores.op,
          factors: scores.factors === null ? null : replace(scores.factors, scores.op),
        };
      case 'ofId':
        return { op: scores.op, table: replace(scores.table, scores.op) };
      case 'parameter':
        return { op: scores.op, parameter: replace(scores.parameter, scores.op) };
      case 'number':
        return scores;
      case 'add':
      case 'subtract':
      case 'multiply':
      case 'divide':
        return { op: scores.op, left: inner(scores.left), right: inner(scores.right) };
      default:
        return { op: scores.op, of: inner(scores.of) };
    }
  })();
  seen.set(scores, mapped);
  return mapped;
}

/** Returns the rule with each parameter replaced. */
export function mapRule<P, Q>(
  { choose, keep, weigh, affinities }: Rule<P>,
  replace: (parameter: P, op: Scores<P>['op'] | 'table' | 'threshold') => Q,
): Rule<Q> {
  const seen = new Map<Scores<P>, Scores<Q>>();
  const scores = (of: Scores<P>) => mapScores(of, replace, seen);
  return {
    choose:
      choose.op === 'table'
        ? {
            op: 'table',
            tables: choose.tables.map(({ experts, before }) => ({
              experts: replace(experts, 'table'),
              before,
            })),
          }
        : { ...choose, by: scores(choose.by) },
    keep: keep && { scores: scores(keep.scores), threshold: replace(keep.threshold, 'threshold') },
    weigh: { by: scores(weigh.by), share: weigh.share },
    affinities: scores(affinities),
  };
}
