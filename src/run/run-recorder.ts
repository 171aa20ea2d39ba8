import path from 'node:path';
import type { Coordinator } from '../coordinator/coordinator.js';
import type { RunView } from '../coordinator/run-view.js';
import type { Dataset } from '../data/dataset.js';
import { machineIdentity, processIdentity } from '../os/process-info.js';
import type { CheckpointReport, Heartbeat, ValidationReport } from '../rpc/messages.js';
import type { FullDisk } from './full-disk.js';
import type { GlobalStep } from './global-step.js';
import type { MetricsRecord } from './metrics-record.js';
import { RoutingTotals } from './routing-totals.js';
import type { RunFolder, RunRecord } from './run-folder.js';
import type { RunListener, RunSnapshot } from './run-listener.js';
import type { RunState } from './run-state.js';

/** Heartbeats come twice a second from every node; one record of all ranks in this time tells enough. */
const HEARTBEAT_RECORD_MS = 2_000;

/** Of each type of a union. */
type Untimed<Record> = Record extends unknown ? Omit<Record, 'time'> : never;

/** Writes a run's story into its folder and shows it, as it happens. */
export class RunRecorder implements RunListener {
  lastValidation: ValidationReport | null = null;
  lastCheckpoint: CheckpointReport | null = null;
  /** 0 before the first. */
  lastStep = 0;
  readonly routing = new RoutingTotals();
  #record: RunRecord | null = null;
  readonly #startedMs = performance.now();
  #heartbeatRecordedMs = Number.NEGATIVE_INFINITY;

  constructor(
    readonly folder: RunFolder,
    readonly view: RunView,
    readonly dataset: Dataset,
    readonly fullDisk: FullDisk,
  ) {}

  get seconds(): number {
    return (performance.now() - this.#startedMs) / 1000;
  }

  /**
   * Makes the run findable: from here on `status` and `logs` reach it.
   *
   * @param resumedFrom step of the checkpoint that this generation starts from; null for a new run
   */
  begin(
    coordinator: Coordinator,
    place: Pick<RunRecord, 'address' | 'localAddress' | 'http' | 'isSecured' | 'forkedFrom'>,
    resumedFrom: number | null,
  ): void {
    const { runId, generation, datasetDir } = coordinator.options.identity;
    this.#record = {
      runId,
      generation,
      ...place,
      machine: machineIdentity(),
      pid: process.pid,
      process: processIdentity(process.pid),
      state: coordinator.state.kind,
      startedAt: new Date().toISOString(),
      datasetDir,
    };
    this.folder.writeRecord(this.#record);
    this.#append({ type: 'generation', generation, resumedFrom });
  }

  membership(text: string): void {
    this.view.membership(text);
  }

  state(state: RunState): void {
    if (this.#record === null) return;
    const record = { ...this.#record, state: state.kind };
    this.#record = record;
    this.keep('run.json', () => this.folder.writeRecord(record));
  }

  step(step: GlobalStep, run: RunSnapshot): void {
    this.lastStep = step.step;
    this.#append({ type: 'step', ...step });
    this.routing.add(step.layers);
    this.view.step(step, run);
  }

  validation(report: ValidationReport): void {
    this.lastValidation = report;
    this.#append({ type: 'validation', ...report });
    this.view.validation(report);
  }

  checkpoint(report: CheckpointReport): void {
    this.lastCheckpoint = report;
    this.#append({ type: 'checkpoint', ...report });
    this.view.print(`checkpoint at step ${report.step}: ${report.directory}`);
  }

  heartbeat(_node: number, _heartbeat: Heartbeat, { ranks }: RunSnapshot): void {
    const now = performance.now();
    if (ranks.length === 0 || now - this.#heartbeatRecordedMs < HEARTBEAT_RECORD_MS) return;
    this.#heartbeatRecordedMs = now;
    this.#append({
      type: 'heartbeat',
      ranks: ranks.map(({ rank, node, step, phase, operation, processState, residentBytes }) => ({
        ...{ rank, node, step, phase, operation, processState, residentBytes },
      })),
    });
  }

  #append(record: Untimed<MetricsRecord>): void {
    this.keep('metrics.ndjson', () => this.folder.appendMetrics({ time: Date.now(), ...record }));
  }

  /** Writes a file of the run's folder, unless the disk is full. */
  keep(file: string, write: () => void): void {
    try {
      write();
    } catch (error) {
      if (!this.fullDisk(error, path.join(this.folder.directory, file))) throw error;
    }
  }
}
