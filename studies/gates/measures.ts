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

/** Columns of the tables, in their order. */
export const MEASURES = {
  perplexity: compared('perplexity', perplexityOf, fixed(3)),
  idShare: shown('as the id before', ({ idShare }) => idShare, percent),
  loadImbalance: shown('busiest expert / mean', ({ loadImbalance }) => loadImbalance, fixed(2)),
  onNodeShare: shown('stayed on node', ({ localShare }) => localShare, percent),
  stepMs: comparedTime('step (ms)', ({ stepMs }) => stepMs, fixed(1)),
  expertsPerToken: shownTime('experts a token', (run) => run.expertsPerToken?.end ?? null, fixed(2)),
  allToAllShare: shownTime('all-to-all', ({ allToAllShare }) => allToAllShare, percent),
  localShare: shownTime('stayed on node', ({ localShare }) => localShare, percent),
  bytesOtherNode: shownTime('to other nodes (MB)', (run) => run.bytesOtherNode / 1e6, fixed(2)),
} as const satisfies Readonly<Record<string, MeasureOf>>;

export type Measure = keyof typeof MEASURES;
