import type { ChaosRecord } from '../chaos-record.js';
import type { LiveRun } from '../live-run.js';
import type { RunProcesses } from '../run-process.js';

export interface FaultContext {
  readonly run: LiveRun;
  readonly processes: RunProcesses;
  /** A number in (0, 1) for each name; the same for the same seed and injection. */
  readonly draw: (name: string) => number;
}

/** A fault whose victim and duration are drawn. */
export interface PlannedFault
  extends Pick<ChaosRecord, 'rank' | 'node' | 'pid' | 'durationS' | 'detail' | 'damaged'> {
  /** @throws TrainerError `BAD_INPUT` if it cannot strike any more */
  begin(): Promise<void> | void;
  /** After its duration. */
  end?(): void;
}

/** Draws a fault; says why it cannot be injected now. */
export type PlanFault = (context: FaultContext) => PlannedFault | string;

export interface FaultKind {
  readonly plan: PlanFault;
  /** Only a run that was started with --allow-faults can inflict it. */
  readonly needsConsent?: true;
  /** The run is over with it unless a supervisor restarts the coordinator. */
  readonly needsSupervisor?: true;
}

export function pick<T>(candidates: readonly T[], draw: number): T | undefined {
  return candidates[Math.floor(draw * candidates.length)];
}

/** From `least` to `most`, in tenths. */
export function seconds(draw: number, least: number, most: number): number {
  return Math.round(10 * (least + draw * (most - least))) / 10;
}
