import type { StepPart } from 'locmoe/rpc/messages';
import { median } from '../statistics.js';

/** Steps that warm up caches and just-in-time compilation; they count in no time. */
const WARM_UP_STEPS = 3;
/** With fewer a run has no time that counts. */
export const LEAST_STEPS = 4;

/** The programs that are held against each other, and ours with another router. */
export const PROGRAMS = ['own', 'peer', 'locmoe-plus'] as const;
export type Program = (typeof PROGRAMS)[number];

export type PartMs = Readonly<Record<StepPart | 'other', number>>;

/** One step of a program, over all ranks. */
export interface TimedStep {
  /** Mean over the global batch, in nats. */
  readonly loss: number;
  /** When the last rank had done it, in ms since 1970. */
  readonly endedAtMs: number;
  /** Mean over ranks. */
  readonly partsMs: Readonly<Record<StepPart, number>>;
}

/** What one run of a program gives. */
export interface StepRun {
  /** By step. */
  readonly losses: readonly number[];
  /** From the end of one step to the end of the next by wall clock, of the steps that count. */
  readonly stepMs: readonly number[];
  /** Medians over the steps that count; `other` is what is left of a step. */
  readonly partsMs: PartMs;
  readonly tokensPerS: number;
  /** Most memory that all processes of the program held together, in bytes. */
  readonly peakBytes: number;
  /** Garbage collection of a step, mean over ranks, in ms; it lies inside the other parts. Null where there is none. */
  readonly gcMs: number | null;
  /** Choices of experts that were kept, for each token and sparse layer; null where the program does not say. */
  readonly keptPerToken: number | null;
}

/** The steps whose time counts, by index: not the first ones, and not the last, whose report the end of a run delays. */
export function countedSteps(numSteps: number): { readonly from: number; readonly to: number } {
  return { from: Math.min(WARM_UP_STEPS, numSteps - LEAST_STEPS + 1), to: numSteps - 1 };
}

/**
 * @param steps at least `LEAST_STEPS`
 * @param tokensPerStep over all ranks
 */
export function summarize(
  steps: readonly TimedStep[],
  tokensPerStep: number,
  rest: Pick<StepRun, 'peakBytes' | 'gcMs' | 'keptPerToken'>,
): StepRun {
  const { from, to } = countedSteps(steps.length);
  const stepMs = steps.slice(from, to).map((step, i) => step.endedAtMs - steps[from + i - 1].endedAtMs);
  const counted = steps.slice(from, to);
  const part = (name: StepPart) => median(counted.map(({ partsMs }) => partsMs[name]));
  const parts = {
    forward: part('forward'),
    backward: part('backward'),
    exchange: part('exchange'),
    allReduce: part('allReduce'),
    optimizer: part('optimizer'),
    waiting: part('waiting'),
  };
  const others = counted.map(
    ({ partsMs }, i) => stepMs[i] - Object.values(partsMs).reduce((sum, ms) => sum + ms, 0),
  );
  return {
    losses: steps.map(({ loss }) => loss),
    stepMs,
    // Below zero only where reports of short steps arrive unevenly.
    partsMs: { ...parts, other: Math.max(0, median(others)) },
    tokensPerS: (1000 * tokensPerStep) / median(stepMs),
    ...rest,
  };
}
