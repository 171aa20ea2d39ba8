import type { GlobalLayer, GlobalStep } from '@locmoe/run-format';
import type { ByRule } from '../../src/routers/by-rule.js';
import type { RunResult } from '../../src/routers/comparison.js';
import { type Cell, HEADLINE_CELL, type Job } from '../../src/routers/jobs.js';
import type { ProbeResult } from '../../src/routers/probe.js';
import { type RunFigures, runFigures } from '../../src/routers/run-figures.js';
import { VARIANT_IDS, type VariantId } from '../../src/routers/variants.js';

/** A step with two sparse layers of four experts, with figures easy to compute by hand. */
export function globalStep(step: number, overrides: Partial<GlobalStep>): GlobalStep {
  return {
    step,
    loss: 2,
    auxiliaryLoss: 0,
    gradientNorm: 1,
    learningRate: 0.1,
    tokens: 64,
    stepMs: 100,
    partsMs: { forward: 20, backward: 30, exchange: 5, allReduce: 2, optimizer: 10, waiting: 25 },
    layers: [
      layer(1, [10, 10, 10, 10], { overCapacity: [10, 0, 0, 0], capacityRatio: 0.4, gateCosine: 0.2 }),
      layer(2, [12, 11, 1, 0], {
        overCapacity: [2, 0, 0, 0],
        notChosen: [0, 4, 0, 0],
        capacityRatio: 0.6,
        gateCosine: 0.3,
      }),
    ],
    bytesSameNode: 3000,
    bytesOtherNode: 5000,
    allToAllMs: 20,
    allToAllWaitMs: 15,
    ...overrides,
  };
}

function layer(index: number, kept: readonly number[], overrides: Partial<GlobalLayer>): GlobalLayer {
  const total = kept.reduce((sum, count) => sum + count, 0);
  const nothing = kept.map(() => 0);
  const { overCapacity = nothing, notChosen = nothing } = overrides;
  return {
    layer: index,
    routed: kept.map((count, expert) => count + overCapacity[expert] + notChosen[expert]),
    kept,
    overCapacity,
    notChosen,
    sameWorker: total / 2,
    sameNode: total / 4,
    otherNode: total / 4,
    bytes: { sameWorker: total * 8, sameNode: total * 4, otherNode: total * 4 },
    capacity: kept.map(() => 10),
    capacityRatio: null,
    gateCosine: null,
    ...overrides,
  };
}

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
    seconds: 60,
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
