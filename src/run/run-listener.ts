import type {
  CheckpointReport,
  FailureReport,
  GlobalStep,
  JournalMember,
  RecoveryAccount,
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
  /** Over the last 50 steps by wall clock; 0 (unknown) before the second step, as is `secondsLeft`. */
  readonly tokensPerS: number;
  readonly secondsLeft: number;
  /** Speeds by rank at the time of reading; none before the first step. */
  readonly speeds: readonly RankSpeed[];
}

/** Start of a generation of a run. */
export interface GenerationView {
  readonly generation: number;
  /** Step of the state that it starts from; null from nothing. */
  readonly resumedFrom: number | null;
  /** Its nodes; fewer than configured if others did not come back. */
  readonly nodes: number;
}

/** Notified of everything that happens in a run. */
export interface RunListener {
  /** A generation after the first one that this process leads begins. */
  generation?(generation: GenerationView): void;
  /** A generation failed, and the run restarts; how many restarts are left now. */
  restarts?(failure: FailureReport, restartsLeft: number): void;
  /** The run trains again after a failure. */
  recovered?(account: RecoveryAccount): void;
  /** A node joined or left before the start, in words. */
  membership?(text: string): void;
  /** All nodes of the generation are there. */
  members?(members: readonly JournalMember[]): void;
  state?(state: RunState): void;
  /** One rank's report of a step. */
  rankStep?(report: StepReport): void;
  /** A step that all ranks have done; after the last of their reports. */
  step?(step: GlobalStep, run: RunSnapshot): void;
  validation?(report: Validation): void;
  checkpoint?(report: CheckpointReport): void;
  heartbeat?(node: number, heartbeat: Heartbeat, run: RunSnapshot): void;
  /** Numbers of log lines of a node that were kept, and that the node dropped. */
  logLines?(node: number, counts: { readonly kept: number; readonly dropped: number }): void;
  /** Nothing more comes. */
  close?(): void;
}
