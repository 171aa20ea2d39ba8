import { percent } from '../kit/text.js';
import type { Run, RunKey } from './runs.js';

interface MeasureOf {
  readonly title: string;
  /** The kind of run in which the measure is taken. */
  readonly kind: RunKey['kind'];
  /** True if the arms are compared by this measure: with a 95 % interval, as ratios to the references. */
  readonly isCompared: boolean;
  /** Value of the measure in a run; null if the run does not have it. */
  of(run: Run): number | null;
  format(value: number): string;
}

type Described = (title: string, of: MeasureOf['of'], format: MeasureOf['format']) => MeasureOf;
const measured =
  (kind: MeasureOf['kind'], isCompared: boolean): Described =>
  (title, of, format) => ({ title, kind, isCompared, of, format });
const compared = measured('quality', true);
const shown = measured('quality', false);
const comparedTime = measured('time', true);
const shownTime = measured('time', false);
const fixed = (digits: number) => (value: number) => value.toFixed(digits);

/**
 * Returns the perplexity on the test text if the run has one, as in the confirming stage, else that of the
 * last validation.
 */
function perplexityOf({ test, curve }: Run): number | null {
  const last = test ?? curve.at(-1);
  return last === undefined ? null : Math.exp(last.loss);
}

type Served = NonNullable<Run['caches']>['hits'][number];

/** @param size index of the size among those of `reportCache`, the smallest first */
const hits = (title: string, size: number, cache: keyof Served) =>
  shown(title, ({ caches }) => caches?.hits[size]?.[cache] ?? null, percent);

/** Columns of the tables, in their order. */
export const MEASURES = {
  perplexity: compared('perplexity', perplexityOf, fixed(3)),
  idShare: shown('as the id before', ({ idShare }) => idShare, percent),
  loadImbalance: shown('busiest expert / mean', ({ loadImbalance }) => loadImbalance, fixed(2)),
  keptChoices: shown('experts a token', (run) => run.expertsPerToken?.end ?? null, fixed(2)),
  onNodeShare: shown('stayed on node', ({ localShare }) => localShare, percent),
  eighthWithin: hits('1/8, within a text', 0, 'withinText'),
  eighthOver: hits('1/8, over texts', 0, 'overTexts'),
  eighthMostUsed: hits('1/8, most used', 0, 'mostUsed'),
  quarterWithin: hits('1/4, within a text', 1, 'withinText'),
  quarterOver: hits('1/4, over texts', 1, 'overTexts'),
  quarterMostUsed: hits('1/4, most used', 1, 'mostUsed'),
  halfWithin: hits('1/2, within a text', 2, 'withinText'),
  halfOver: hits('1/2, over texts', 2, 'overTexts'),
  halfMostUsed: hits('1/2, most used', 2, 'mostUsed'),
  reuse: shown('tokens between uses', ({ caches }) => caches?.reuse.tokens.p50 ?? null, fixed(0)),
  stepMs: comparedTime('step (ms)', ({ stepMs }) => stepMs, fixed(1)),
  expertsPerToken: shownTime('experts a token', (run) => run.expertsPerToken?.end ?? null, fixed(2)),
  allToAllShare: shownTime('all-to-all', ({ allToAllShare }) => allToAllShare, percent),
  localShare: shownTime('stayed on node', ({ localShare }) => localShare, percent),
  bytesOtherNode: shownTime('to other nodes (MB)', (run) => run.bytesOtherNode / 1e6, fixed(2)),
} as const satisfies Readonly<Record<string, MeasureOf>>;

export type Measure = keyof typeof MEASURES;
