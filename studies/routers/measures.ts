import { percent } from '../kit/text.js';
import type { Run, RunKey } from './runs.js';

interface MeasureOf {
  readonly title: string;
  /** The kind of run that it is measured in. */
  readonly kind: RunKey['kind'];
  /** Whether the arms are compared by it: with a 95 % interval, as ratios to the references. */
  readonly isCompared: boolean;
  /** Null where a run does not have it. */
  of(run: Run): number | null;
  format(value: number): string;
}

const fixed = (digits: number) => (value: number) => value.toFixed(digits);

/** Test loss where there is one, which is in the confirming stage, else that of the last validation. */
function lossOf({ test, curve }: Run): number | null {
  return (test ?? curve.at(-1))?.loss ?? null;
}

/** Columns of the tables, in their order. */
export const MEASURES = {
  perplexity: {
    title: 'perplexity',
    kind: 'quality',
    isCompared: true,
    of: (run) => {
      const loss = lossOf(run);
      return loss === null ? null : Math.exp(loss);
    },
    format: fixed(3),
  },
  tokensPerExpert: {
    title: 'tokens per expert',
    kind: 'quality',
    isCompared: true,
    of: ({ tokensPerExpert }) => tokensPerExpert?.mean ?? null,
    format: fixed(1),
  },
  tokensPerExpertAtEnd: {
    title: 'tokens per expert at the end',
    kind: 'quality',
    isCompared: true,
    of: ({ tokensPerExpert }) => tokensPerExpert?.end ?? null,
    format: fixed(1),
  },
  expertsPerToken: {
    title: 'experts per token',
    kind: 'quality',
    isCompared: false,
    of: ({ expertsPerToken }) => expertsPerToken?.mean ?? null,
    format: fixed(2),
  },
  keptShare: {
    title: 'kept',
    kind: 'quality',
    isCompared: false,
    of: ({ keptShare }) => keptShare?.mean ?? null,
    format: percent,
  },
  idShare: {
    title: 'as the id before',
    kind: 'quality',
    isCompared: false,
    of: ({ idShare }) => idShare,
    format: percent,
  },
  gateShare: {
    title: "gate's own first",
    kind: 'quality',
    isCompared: false,
    of: ({ gateShare }) => gateShare,
    format: percent,
  },
  loadImbalance: {
    title: 'busiest expert / mean',
    kind: 'quality',
    isCompared: false,
    of: ({ loadImbalance }) => loadImbalance,
    format: fixed(2),
  },
  stepMs: {
    title: 'step (ms)',
    kind: 'time',
    isCompared: true,
    of: ({ stepMs }) => stepMs,
    format: fixed(1),
  },
  allToAllShare: {
    title: 'all-to-all',
    kind: 'time',
    isCompared: false,
    of: ({ allToAllShare }) => allToAllShare,
    format: percent,
  },
  localShare: {
    title: 'stayed on node',
    kind: 'time',
    isCompared: false,
    of: ({ localShare }) => localShare,
    format: percent,
  },
} as const satisfies Readonly<Record<string, MeasureOf>>;

export type Measure = keyof typeof MEASURES;

export function measureOf(measure: Measure): MeasureOf {
  return MEASURES[measure];
}
