import { type GlobalStep, locality, readRecords, type Validation } from '@locmoe/run-format';
import { mean, median, sum } from '../statistics.js';

/** Losses in nats per token. */
export interface Losses {
  /** Loss, mean over the domains. */
  readonly loss: number;
  readonly domains: Readonly<Record<string, number>>;
}

/** A mean over the whole training, and one over its last quarter. */
export interface OverTraining {
  readonly mean: number;
  readonly end: number;
}

/** Figures of a run, read from its metrics. */
export interface Figures {
  readonly steps: number;
  readonly tokensPerStep: number;
  /** Validations on the development text, by the causal rule. */
  readonly curve: readonly (Losses & { readonly step: number })[];
  /** Experts that process a token, averaged over the sparse layers; null without them. */
  readonly expertsPerToken: OverTraining | null;
  /** Measures of the choices in the last quarter, as in metrics.ndjson; null if they are missing there. */
  readonly idShare: number | null;
  readonly loadImbalance: number | null;
  /** Share of the kept choices whose expert was on the token's node. */
  readonly localShare: number | null;
  /** Medians over the steps after the first 20; values of the slowest rank. */
  readonly stepMs: number;
  readonly allToAllShare: number;
  readonly bytesOtherNode: number;
}

export function readFigures(metricsFile: string): Figures {
  const records = readRecords(metricsFile);
  // Skipped steps, which have no loss, are left out.
  const steps = records.filter((record) => record.type === 'step').filter(({ loss }) => loss !== null);
  return figuresOf(
    steps,
    records.filter((record) => record.type === 'validation'),
  );
}

/** @param steps all steps of a run that updated the weights, in order */
export function figuresOf(steps: readonly GlobalStep[], validations: readonly Validation[]): Figures {
  const tail = steps.slice(-Math.ceil(steps.length / 4));
  const overTraining = (of: (step: GlobalStep) => number | null): OverTraining | null => {
    const [all, last] = [steps, tail].map((some) => some.flatMap((step) => of(step) ?? []));
    return all!.length === 0 ? null : { mean: rounded(mean(all!)), end: rounded(mean(last!)) };
  };
  const atEnd = (of: (step: GlobalStep) => number | null | undefined) => {
    const known = tail.flatMap((step) => of(step) ?? []);
    return known.length === 0 ? null : rounded(mean(known));
  };
  const places = locality(steps.flatMap(({ layers }) => layers));
  return {
    steps: steps.length,
    tokensPerStep: steps[0]!.tokens,
    curve: validations.map(({ step, domains }) => ({ step, ...lossesOf(domains) })),
    expertsPerToken: overTraining(({ layers, tokens }) =>
      layers.length === 0 ? null : sum(layers.flatMap(({ kept }) => kept)) / (layers.length * tokens),
    ),
    idShare: atEnd(({ idShare }) => idShare),
    loadImbalance: atEnd(({ loadImbalance }) => loadImbalance),
    localShare: places && rounded(places.sameWorker + places.sameNode),
    stepMs: rounded(median(tail.map(({ stepMs }) => stepMs))),
    allToAllShare: rounded(median(tail.map(({ allToAllMs, stepMs }) => allToAllMs / stepMs))),
    bytesOtherNode: median(tail.map(({ bytesOtherNode }) => bytesOtherNode)),
  };
}

/** Returns the losses by domain, and their mean. */
export function lossesOf(domains: readonly { readonly domain: string; readonly loss: number }[]): Losses {
  return {
    loss: rounded(mean(domains.map(({ loss }) => loss))),
    domains: Object.fromEntries(domains.map(({ domain, loss }) => [domain, rounded(loss)])),
  };
}

/** Rounds to six decimal places, a hundredth of the precision of any table. */
function rounded(value: number): number {
  return Number(value.toFixed(6));
}
