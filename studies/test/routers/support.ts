import { type RunFigures, runFigures } from '../../../packages/bench/src/routers/run-figures.js';
import { globalStep } from '../../../packages/bench/test/routers/support.js';
import type { ByRule } from '../../routers/by-rule.js';
import type { RunResult } from '../../routers/comparison.js';
import { type Cell, HEADLINE_CELL, type Job } from '../../routers/jobs.js';
import type { ProbeResult } from '../../routers/probe.js';
import { VARIANT_IDS, type VariantId } from '../../routers/variants.js';

const PROBE: ProbeResult = {
  calinskiHarabasz: [
    { step: 10, index: 0.5 },
    { step: 20, index: 2 },
  ],
  stayed: [{ step: 20, share: 0.75 }],
  cosines: {
    'same expert': [
      { middle: -0.5, share: 0.25 },
      { middle: 0.5, share: 0.75 },
    ],
    'different experts': [
      { middle: -0.5, share: 0.5 },
      { middle: 0.5, share: 0.5 },
    ],
  },
};

const BY_RULE: ByRule = {
  causal: { loss: 3, expertsPerToken: 1 },
  training: { loss: 2.5, expertsPerToken: 0.4 },
};

export function timeJob(cell: Cell, variant: VariantId, seed: number): Job {
  return { ...cell, kind: 'time', variant, seed, capacity: null };
}

export function qualityJob(variant: VariantId, seed: number, capacity: string | null = null): Job {
  return { layout: '2x1', placement: HEADLINE_CELL.placement, kind: 'quality', variant, seed, capacity };
}

/** A finished run with the figures of the steps above, except those given. */
export function runResult(job: Job, overrides: Partial<RunFigures>, byRule = BY_RULE): RunResult {
  const steps = Array.from({ length: 20 }, (_, i) => globalStep(i + 1, {}));
  const validations = [10, 20].map((step) => ({
    step,
    domains: [{ domain: 'a', loss: Math.log(1000 / step), tokens: 10 }],
  }));
  const isQuality = job.kind !== 'time';
  return {
    ...job,
    figures: { ...runFigures(steps, validations), ...overrides },
    byRule: isQuality ? byRule : null,
    probe: isQuality && job.seed === 1 && job.capacity === null ? PROBE : null,
  };
}

type FiguresOf = (variant: VariantId, seed: number) => Partial<RunFigures>;

/** Time runs of three seeds of every router in a cell. */
export function cellOfRuns(cell: Cell, figuresOf: FiguresOf): RunResult[] {
  return [1, 2, 3].flatMap((seed) =>
    VARIANT_IDS.map((variant) => runResult(timeJob(cell, variant, seed), figuresOf(variant, seed))),
  );
}

/** Quality runs of three seeds of every router. */
export function qualityRuns(figuresOf: FiguresOf): RunResult[] {
  return [1, 2, 3].flatMap((seed) =>
    VARIANT_IDS.map((variant) => runResult(qualityJob(variant, seed), figuresOf(variant, seed))),
  );
}
