import { type GlobalStep, locality, meanLoss, readRecords, type Validation } from '@locmoe/run-format';
import { mean, median, quantile, sum } from '../statistics.js';

/** Warm-up steps (caches, JIT): excluded from times and counts of tokens. */
const WARM_UP_STEPS = 20;
/** An expert is in use if it gets at least this fraction of an even share of tokens. */
const USED_SHARE = 0.1;
/** Fraction at the end of training over which the load is averaged. */
const TAIL_SHARE = 0.25;

interface ValidationPoint {
  readonly step: number;
  readonly perplexity: number;
}

/** Figures of one run in the comparison. Shares are fractions. */
export interface RunFigures {
  readonly steps: number;
  readonly tokensPerStep: number;
  /** Times of the slowest rank in each step. */
  readonly stepMs: { readonly median: number; readonly p10: number; readonly p90: number };
  /** Median share of a step spent in all-to-all, including waiting. */
  readonly allToAllShare: number;
  /** Tokens per expert and layer in a step, over all ranks. */
  readonly tokensPerExpert: number;
  readonly localShare: number;
  /** Median bytes per step sent to other nodes in the exchanges of sparse layers, over all ranks. */
  readonly bytesOtherNode: number;
  /** Shares of choices dropped for lack of capacity, and by selection of the expert. */
  readonly overCapacityShare: number;
  readonly notChosenShare: number;
  /** Kept choices by layer and expert at the end of training. */
  readonly loadByLayer: readonly (readonly number[])[];
  /** Number of experts in use, in the layer that uses the fewest. */
  readonly expertsUsed: number;
  /** Perplexity at the last validation, over the tokens of all domains. */
  readonly perplexity: number;
  readonly validations: readonly ValidationPoint[];
}

export function readRunFigures(metricsFile: string): RunFigures {
  const records = readRecords(metricsFile);
  return runFigures(
    // Skipped steps are left out.
    records.filter((record) => record.type === 'step').filter(({ loss }) => loss !== null),
    records.filter((record) => record.type === 'validation'),
  );
}

/** @param steps all steps of a run that updated the weights, in order, with at least one sparse layer */
export function runFigures(steps: readonly GlobalStep[], validations: readonly Validation[]): RunFigures {
  const counted = steps.slice(Math.min(WARM_UP_STEPS, Math.floor(steps.length / 2)));
  const stepMs = counted.map((step) => step.stepMs);
  const tail = steps.slice(-Math.ceil(TAIL_SHARE * steps.length));
  const loadByLayer = sumOfLoads(tail);
  const perplexities = validations.map((report) => ({
    step: report.step,
    perplexity: Math.exp(meanLoss(report)),
  }));
  const layers = counted.flatMap((step) => step.layers);
  // A router may leave all tokens without an expert.
  const routed = Math.max(1, sum(layers.flatMap((layer) => layer.routed)));
  const places = locality(layers) ?? { sameWorker: 0, sameNode: 0, otherNode: 0 };
  return {
    steps: steps.length,
    tokensPerStep: steps[0]!.tokens,
    stepMs: { median: median(stepMs), p10: quantile(stepMs, 0.1), p90: quantile(stepMs, 0.9) },
    allToAllShare: median(counted.map((step) => step.allToAllMs / step.stepMs)),
    tokensPerExpert: mean(counted.map(tokensPerExpert)),
    localShare: places.sameWorker + places.sameNode,
    bytesOtherNode: median(counted.map((step) => step.bytesOtherNode)),
    overCapacityShare: sum(layers.flatMap((layer) => layer.overCapacity)) / routed,
    notChosenShare: sum(layers.flatMap((layer) => layer.notChosen)) / routed,
    loadByLayer,
    expertsUsed: Math.min(...loadByLayer.map(numUsed)),
    perplexity: perplexities.at(-1)?.perplexity ?? Number.NaN,
    validations: perplexities,
  };
}

function tokensPerExpert({ layers }: GlobalStep): number {
  return mean(layers.flatMap(({ kept }) => kept));
}

function sumOfLoads(steps: readonly GlobalStep[]): number[][] {
  return steps[0]!.layers.map((first, layer) =>
    first.kept.map((_, expert) => sum(steps.map((step) => step.layers[layer]!.kept[expert]!))),
  );
}

function numUsed(loads: readonly number[]): number {
  const least = Math.max(1, (USED_SHARE * sum(loads)) / loads.length);
  return loads.filter((load) => load >= least).length;
}
