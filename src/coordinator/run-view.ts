import type { LogStore } from '@locmoe/logs';
import type { FailureReport, RunFolder, RunRecord } from '@locmoe/run-format';
import type { Logger } from '../logger.js';
import type { DiskTolerance } from '../run/disk-tolerance.js';
import type { RunListener } from '../run/run-listener.js';
import type { RunTotals } from '../run/run-totals.js';
import type { RunIdentity } from './coordinator-options.js';

/** A run whose folder and log are open, before it begins. */
export interface OpenRun {
  /** Identity of the first generation under this process. */
  readonly identity: RunIdentity;
  readonly folder: RunFolder;
  /** Log of all generations; each line names its generation. */
  readonly logs: LogStore;
  readonly logger: Logger;
  readonly disk: DiskTolerance;
  readonly totals: RunTotals;
  /** Step of the checkpoint that the run starts from; null for a new run. */
  readonly resumedFrom: number | null;
  /** Run and step of the checkpoint that a new run was forked from; null if it was not forked, or is resumed. */
  readonly forkedFrom: RunRecord['forkedFrom'];
  /** Run and step of the checkpoint that initialised a new run's weights; null for none. */
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
  /** Reason of an early stop; null if the run reached its end. */
  readonly stopped: string | null;
}

export type RunOutcome = FailedRun | FinishedRun;

/** Shows a run from its start to its end, to a person or to a log collector. */
export interface RunView extends RunListener {
  /** Called once the run has started: its nodes are being started or waited for. */
  begun(): void;
  /** Prints a line that belongs to no event, such as the answer to a signal. */
  print(line: string): void;
  /** Shows the failure synchronously, as the process may exit right after. */
  failed(run: FailedRun): void;
  finished(run: FinishedRun): Promise<void>;
}
