import {
  type GlobalLayer,
  type GlobalStep,
  locality,
  meanLoss,
  readRecords,
  type Validation,
} from '@locmoe/run-format';
import { mean, median, quantile, sum } from '../statistics.js';

/** Warm-up steps (caches, JIT): excluded from times, and from counts of tokens but those that say otherwise. */
const WARM_UP_STEPS = 20;
/** An expert is in use if it gets at least this fraction of an even share of tokens. */
const USED_SHARE = 0.1;
/** Fraction at the end of training over which load, capacity and cosines are taken. */
const TAIL_SHARE = 0.25;
const CURVE_POINTS = 40;

/** Mean step time by part, in ms; the parts add up to it. */
export interface StepComposition {
  readonly computation: number;
  /** Moving bytes, in all collectives. */
  readonly communication: number;
  readonly waitingInAllToAll: number;
  readonly waitingElsewhere: number;
  /** Time outside the parts, and the lead of the mean rank over the slowest. */
  readonly other: number;
}

export interface CurvePoint {
  readonly step: number;
  /** Tokens per expert and layer in a step, over all ranks. */
  readonly tokensPerExpert: number;
  /** Share of kept choices with an expert on the token's own node. */
  readonly localShare: number;
}

export interface ValidationPoint {
  readonly step: number;
  readonly perplexity: number;
}

/** Figures of one run in the comparison. Shares are fractions. */
export interface RunFigures {
  readonly steps: number;
  readonly tokensPerStep: number;
  /** Times of the slowest rank in each step. */
  readonly stepMs: { readonly median: number; readonly p10: number; readonly p90: number };
  readonly composition: StepComposition;
  /** Median share of a step spent in all-to-all, waiting included. */
  readonly allToAllShare: number;
  /** Tokens per expert and layer in a step, over all ranks; of counted steps, of all, and of the last quarter. */
  readonly tokensPerExpert: number;
  readonly tokensPerExpertOfAllSteps: number;
  readonly tokensPerExpertOfLastQuarter: number;
  readonly localShare: number;
  readonly sameWorkerShare: number;
  /** Median bytes per step sent to other nodes in the exchanges of sparse layers, over all ranks. */
  readonly bytesOtherNode: number;
  /** Shares of choices dropped for lack of capacity, and by selection of the expert. */
  readonly overCapacityShare: number;
  readonly notChosenShare: number;
  /** Capacity relative to the classic one, mean over layers and last steps; null if unlimited. */
  readonly capacityRatio: number | null;
  /** Cosine between tokens and the gates of their experts, likewise; null without gate vectors. */
  readonly gateCosine: number | null;
  /** Kept choices by layer and expert at the end of training. */
  readonly loadByLayer: readonly (readonly number[])[];
  /** Experts in use, in the layer that uses fewest. */
  readonly expertsUsed: number;
  /** Perplexity at the last validation, over the tokens of all domains. */
  readonly perplexity: number;
  readonly validations: readonly ValidationPoint[];
  readonly curve: readonly CurvePoint[];
}

export function readRunFigures(metricsFile: string): RunFigures {
  const records = readRecords(metricsFile);
  return runFigures(
    // Without those that were skipped.
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
  const routed = sum(layers.flatMap((layer) => layer.routed));
  const places = locality(layers) ?? { sameWorker: 0, sameNode: 0, otherNode: 0 };
  return {
    steps: steps.length,
    tokensPerStep: steps[0]!.tokens,
    stepMs: { median: median(stepMs), p10: quantile(stepMs, 0.1), p90: quantile(stepMs, 0.9) },
    composition: compositionOf(counted),
    allToAllShare: median(counted.map((step) => step.allToAllMs / step.stepMs)),
    tokensPerExpert: mean(counted.map(tokensPerExpert)),
    tokensPerExpertOfAllSteps: mean(steps.map(tokensPerExpert)),
    tokensPerExpertOfLastQuarter: mean(tail.map(tokensPerExpert)),
    localShare: places.sameWorker + places.sameNode,
    sameWorkerShare: places.sameWorker,
    bytesOtherNode: median(counted.map((step) => step.bytesOtherNode)),
    overCapacityShare: sum(layers.flatMap((layer) => layer.overCapacity)) / routed,
    notChosenShare: sum(layers.flatMap((layer) => layer.notChosen)) / routed,
    capacityRatio: meanWhereKnown(tail, (layer) => layer.capacityRatio),
    gateCosine: meanWhereKnown(tail, (layer) => layer.gateCosine),
    loadByLayer,
    expertsUsed: Math.min(...loadByLayer.map(numUsed)),
    perplexity: perplexities.at(-1)?.perplexity ?? Number.NaN,
    validations: perplexities,
    curve: curveOf(steps),
  };
}

/**
 * Mean over the steps between the 10th and 90th percentile of duration, so that outliers do not distort the
 * parts.
 */
function compositionOf(steps: readonly GlobalStep[]): StepComposition {
  const times = steps.map((step) => step.stepMs);
  const [least, most] = [quantile(times, 0.1), quantile(times, 0.9)];
  const usual = steps.filter(({ stepMs }) => stepMs >= least && stepMs <= most);
  const meanOf = (of: (step: GlobalStep) => number) => mean(usual.map(of));
  const parts = {
    computation: meanOf(({ partsMs }) => partsMs.forward + partsMs.backward + partsMs.optimizer),
    communication: meanOf(({ partsMs }) => partsMs.exchange + partsMs.allReduce),
    waitingInAllToAll: meanOf((step) => step.allToAllWaitMs),
    waitingElsewhere: meanOf((step) => step.partsMs.waiting - step.allToAllWaitMs),
  };
  return { ...parts, other: meanOf((step) => step.stepMs) - sum(Object.values(parts)) };
}

function tokensPerExpert({ layers }: GlobalStep): number {
  return mean(layers.flatMap(({ kept }) => kept));
}

function meanWhereKnown(
  steps: readonly GlobalStep[],
  of: (layer: GlobalLayer) => number | null,
): number | null {
  const known = steps.flatMap(({ layers }) => layers.flatMap((layer) => of(layer) ?? []));
  return known.length === 0 ? null : mean(known);
}

function sumOfLoads(steps: readonly GlobalStep[]): number[][] {
  return steps[0]!.layers.map((first, layer) =>
    first.kept.map((_, expert) => sum(steps.map((step) => step.layers[layer]!.kept[expert]!))),
  );
}

function numUsed(loads: readonly number[]): number {
  const least = (USED_SHARE * sum(loads)) / loads.length;
  return loads.filter((load) => load >= least).length;
}

/** Means over equal intervals of steps. */
function curveOf(steps: readonly GlobalStep[]): CurvePoint[] {
  const stride = Math.ceil(steps.length / CURVE_POINTS);
  return Array.from({ length: Math.ceil(steps.length / stride) }, (_, i) => {
    const stretch = steps.slice(i * stride, (i + 1) * stride);
    const places = locality(stretch.flatMap((step) => step.layers));
    return {
      step: stretch.at(-1)!.step,
      tokensPerExpert: mean(stretch.map(tokensPerExpert)),
      localShare: places === null ? 0 : places.sameWorker + places.sameNode,
    };
  });
}
