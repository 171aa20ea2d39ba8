import { groupBy } from '../group-by.js';
import { refusal } from './question.js';
import { readSamples, type StoredSample } from './samples.js';
import { bootstrapIntervals, type Interval, mcNemar, total } from './statistics.js';

/** Two models' answers to the same questions by one measure. */
export interface ComparedMetric {
  /** How the options were scored: letter, continuation, or lm-evaluation-harness' filter. */
  readonly filter: string;
  readonly metric: string;
  readonly n: number;
  readonly a: number;
  readonly b: number;
  /** b - a, and its 95 % interval by a paired bootstrap. */
  readonly difference: number;
  readonly interval: Interval;
  /** Number of questions that only one of the models answered correctly. */
  readonly onlyA: number;
  readonly onlyB: number;
  /** Probability of McNemar's exact test. */
  readonly pValue: number;
}

export interface Comparison {
  readonly metrics: readonly ComparedMetric[];
  /** Samples that the other file does not have. */
  readonly unpaired: { readonly a: number; readonly b: number };
  /** Pairs whose prompts differ: in their shots or in their form. */
  readonly otherPrompts: number;
}

type Pair = readonly [a: StoredSample, b: StoredSample];

/**
 * Compares two samples files question by question.
 *
 * @throws TrainerError `BAD_INPUT` if they have no question or no measure in common
 */
export function compareSamples(fileA: string, fileB: string, seed: number): Comparison {
  const [a, b] = [readSamples(fileA), readSamples(fileB)];
  const pairs = pairsOf(a, b);
  const filtersOf = (samples: readonly StoredSample[]) =>
    [...new Set(samples.map(({ filter }) => filter))].join(', ');
  if (pairs.length === 0)
    throw refusal(
      `${fileA} and ${fileB}`,
      `have no question in common that is scored alike (${filtersOf(a)}; ${filtersOf(b)})`,
    );
  const metrics = [...groupBy(pairs, ([{ filter }]) => filter)].flatMap(([filter, some]) =>
    comparedMetrics(filter, some, seed),
  );
  if (metrics.length === 0)
    throw refusal(`${fileA} and ${fileB}`, 'have no measure in common that is 0 or 1 for every question');
  return {
    metrics,
    unpaired: { a: a.length - pairs.length, b: b.length - pairs.length },
    otherPrompts: pairs.filter(([one, other]) => one.promptHash !== other.promptHash).length,
  };
}

/** Pairs the samples of a question; the k-th of equal questions in one file is paired with the k-th in the other. */
function pairsOf(a: readonly StoredSample[], b: readonly StoredSample[]): Pair[] {
  const keyOf = ({ filter, docHash, targetHash }: StoredSample) => `${filter} ${docHash} ${targetHash}`;
  const others = groupBy(b, keyOf);
  return [...groupBy(a, keyOf)].flatMap(([key, samples]) =>
    (others.get(key) ?? []).slice(0, samples.length).map((other, k): Pair => [samples[k]!, other]),
  );
}

function comparedMetrics(filter: string, pairs: readonly Pair[], seed: number): ComparedMetric[] {
  const names = [...pairs[0]![0].metrics.keys()].filter((name) =>
    pairs.every((pair) => pair.every(({ metrics }) => metrics.has(name))),
  );
  const n = pairs.length;
  const differences = names.map((name) => pairs.map(([a, b]) => b.metrics.get(name)! - a.metrics.get(name)!));
  const intervals = bootstrapIntervals(differences, seed);
  return names.map((metric, i) => {
    const a = total(pairs.map(([one]) => one.metrics.get(metric)!)) / n;
    const onlyA = differences[i]!.filter((difference) => difference < 0).length;
    const onlyB = differences[i]!.filter((difference) => difference > 0).length;
    const difference = total(differences[i]!) / n;
    return {
      filter,
      metric,
      n,
      a,
      b: a + difference,
      difference,
      interval: intervals[i]!,
      onlyA,
      onlyB,
      pValue: mcNemar(onlyA, onlyB),
    };
  });
}
