import type {
  CheckpointReport,
  Heartbeat,
  StepReport,
  ValidationReport,
  WorkerProgress,
} from '../rpc/messages.js';
import type { GlobalStep } from './global-step.js';
import type { RunState } from './run-state.js';

/** A rank at its last heartbeat. */
export interface RankView extends WorkerProgress {
  readonly node: number;
  /** ms since the worker itself last gave a sign of life. */
  readonly lastHeardMs: number;
}

/** A run at one moment. */
export interface RunSnapshot {
  /** By rank; those heard of so far. */
  readonly ranks: readonly RankView[];
  /** Step at which the run ends. */
  readonly steps: number;
  /** Over the last 50 steps by wall clock; 0 (unknown) before the second step, as is `secondsLeft`. */
  readonly tokensPerS: number;
  readonly secondsLeft: number;
}

/** Notified of everything that happens in a run. */
export interface RunListener {
  /** A node joined or left before the start, in words. */
  membership?(text: string): void;
  state?(state: RunState): void;
  /** One rank's report of a step. */
  rankStep?(report: StepReport): void;
  /** A step that all ranks have done; after the last of their reports. */
  step?(step: GlobalStep, run: RunSnapshot): void;
  validation?(report: ValidationReport): void;
  checkpoint?(report: CheckpointReport): void;
  heartbeat?(node: number, heartbeat: Heartbeat, run: RunSnapshot): void;
  /** Numbers of log lines of a node that were kept, and that the node dropped. */
  logLines?(node: number, counts: { readonly kept: number; readonly dropped: number }): void;
  /** Nothing more comes. */
  close?(): void;
}
