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
  /** Called after the duration of the fault. */
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

/** Maps a draw in [0, 1) to a time from `least` to `most`, in steps of 0.1 s. */
export function seconds(draw: number, least: number, most: number): number {
  return Math.round(10 * (least + draw * (most - least))) / 10;
}
