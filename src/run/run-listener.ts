import type {
  CheckpointReport,
  FailureReport,
  GlobalStep,
  JournalMember,
  RecoveryAccount,
  RecoveryBill,
  Validation,
} from '@locmoe/run-format';
import type { Heartbeat, RankSpeed, StepReport, WorkerProgress } from '../rpc/generated/messages.js';
import type { RunState } from './run-state.js';

/** A rank at its last heartbeat. */
export interface RankView extends WorkerProgress {
  readonly node: number;
  /** ms since the worker itself last gave a sign of life. */
  readonly lastHeardMs: number;
}

/** A run at one moment. */
export interface RunSnapshot {
  /** Views by rank, of those heard of so far. */
  readonly ranks: readonly RankView[];
  /** Step at which the run ends. */
  readonly steps: number;
  /** Mean over the last 50 steps by wall clock; 0 (unknown) before the second step, as is `secondsLeft`. */
  readonly tokensPerS: number;
  readonly secondsLeft: number;
  /** Speeds by rank at the time of reading; none before the first step. */
  readonly speeds: readonly RankSpeed[];
}

/** Start of a generation of a run. */
export interface GenerationView {
  readonly generation: number;
  /** Step of the state that the generation starts from; null if it starts anew. */
  readonly resumedFrom: number | null;
  /** Number of nodes; fewer than configured if some did not come back. */
  readonly nodes: number;
}

/** Notified of everything that happens in a run. */
export interface RunListener {
  /** Called when a generation begins, except for the first one that this process leads. */
  generation?(generation: GenerationView): void;
  /** Called when a generation failed and the run restarts, with the number of restarts that are left. */
  restarts?(failure: FailureReport, restartsLeft: number): void;
  /** Called when the run trains again after a failure. */
  recovered?(account: RecoveryAccount): void;
  /** Called when all ranks have done the first step after a recovery that had not been done before. */
  bill?(bill: RecoveryBill): void;
  /** Called when a node joined or left before the start. */
  membership?(text: string): void;
  /** Called when all nodes of the generation have joined. */
  members?(members: readonly JournalMember[]): void;
  state?(state: RunState): void;
  /** Called with each rank's report of a step. */
  rankStep?(report: StepReport): void;
  /** Called when all ranks have done a step, after the last of their reports. */
  step?(step: GlobalStep, run: RunSnapshot): void;
  validation?(report: Validation): void;
  checkpoint?(report: CheckpointReport): void;
  /** Called when the disk had no room for a checkpoint, and the run goes on without it. */
  checkpointFailed?(step: number): void;
  heartbeat?(node: number, heartbeat: Heartbeat, run: RunSnapshot): void;
  /** Called with the numbers of log lines of a node that were kept, and that the node dropped. */
  logLines?(node: number, counts: { readonly kept: number; readonly dropped: number }): void;
  close?(): void;
}
