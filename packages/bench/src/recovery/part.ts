import type { RecoveryBill } from '@locmoe/run-format';
import type { MeasuredPart } from '../measure-parts.js';

/** Times from a fault to the first new step after it. */
export interface Outage {
  /** Time until the run detected it; null for a fault that it survives without a restart. */
  readonly detectedS: number | null;
  /** Time until the first step that had not been done before. */
  readonly recoveredS: number;
  /** Number of steps that were done again. */
  readonly lostSteps: number;
  /** Where the time of the slowest rank went, in s; absent for a fault that the run survives without a restart. */
  readonly spansS?: RecoveryBill['ranksS'][number];
}

/** Figures of many injections of one fault. */
export interface FaultFigures {
  readonly outages: readonly Outage[];
  readonly violations: readonly string[];
}

export interface SoakFigures {
  readonly minutes: number;
  readonly faults: number;
  readonly violations: readonly string[];
  /** Difference between the final loss and that of a run without faults. */
  readonly lossDifference: number;
  /** Time that the committed steps take without faults, as a share of the elapsed time. */
  readonly effectiveShare: number;
}

export interface FuzzFigures {
  readonly messages: number;
  readonly files: number;
  readonly failures: readonly string[];
}

export interface PartContext extends MeasuredPart {
  /** Number of injections of each fault; by default, each fault has its own number. */
  readonly runs: number | undefined;
  readonly quick: boolean;
  readonly seed: number;
  /** Folder for prepared datasets. */
  readonly dataDir: string;
}

export interface PartResult {
  readonly fault?: FaultFigures;
  readonly soak?: SoakFigures;
  readonly fuzz?: FuzzFigures;
  /** Share by which a step takes longer with fault tolerance. */
  readonly costOfFaultFree?: number;
  /** Settings that the figures depend on, in one or two sentences of Markdown. */
  readonly notes: string;
}

/** Measures some of the figures. @throws if it cannot; its figures then stay as they were */
export type Part = (context: PartContext) => Promise<PartResult>;
