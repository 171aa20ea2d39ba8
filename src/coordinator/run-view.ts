import type { LogStore } from '@locmoe/logs';
import type { Logger } from '../logger.js';
import type { DiskTolerance } from '../run/disk-tolerance.js';
import type { FailureReport } from '../run/failure-report.js';
import type { RunFolder, RunRecord } from '../run/run-folder.js';
import type { RunListener } from '../run/run-listener.js';
import type { RunTotals } from '../run/run-totals.js';
import type { RunIdentity } from './coordinator-options.js';

/** A run that has its folder and its log, but has not begun. */
export interface OpenRun {
  /** Of its first generation under this process. */
  readonly identity: RunIdentity;
  readonly folder: RunFolder;
  /** Also of the generations that follow: lines tell which one they are of. */
  readonly logs: LogStore;
  readonly logger: Logger;
  readonly disk: DiskTolerance;
  readonly totals: RunTotals;
  /** Step of the checkpoint that it starts from; null for a new run. */
  readonly resumedFrom: number | null;
  /**
   * Run and step of the checkpoint that a new run starts from; null if it starts from nothing, or goes on.
   */
  readonly forkedFrom: RunRecord['forkedFrom'];
  /** The same of the checkpoint whose weights alone a new run starts with. */
  readonly initFrom: RunRecord['initFrom'];
}

export interface FailedRun {
  readonly kind: 'failed';
  readonly exitCode: number;
  readonly report: FailureReport;
}

export interface FinishedRun {
  readonly kind: 'finished';
  readonly exitCode: number;
  /** Who ended it before its time; null if nobody did. */
  readonly stopped: string | null;
}

/** How a run ended. */
export type RunOutcome = FailedRun | FinishedRun;

/** Shows a run from its start to its end: to a person or to a log collector. */
export interface RunView extends RunListener {
  /** The run has begun; its nodes are started or waited for. */
  begun(): void;
  /** Shows a line that belongs to no event, such as the answer to a signal. */
  print(line: string): void;
  /** Synchronous: the process may end right after it. */
  failed(run: FailedRun): void;
  finished(run: FinishedRun): Promise<void>;
}
