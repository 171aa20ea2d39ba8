import type { Dataset } from '../data/index.js';
import { processIdentity } from '../observability/process-info.js';
import type { CheckpointReport, ValidationReport } from '../rpc/messages.js';
import type { Coordinator, RunListener } from './coordinator.js';
import { RoutingTotals } from './routing-totals.js';
import type { RunFolder, RunRecord } from './run-folder.js';
import { machineIdentity } from './run-liveness.js';
import type { RunState } from './run-state.js';
import type { RunView } from './run-view.js';
import type { GlobalStep } from './step-aggregator.js';

/** Writes a run's story into its folder and shows it, as it happens. */
export class RunRecorder implements RunListener {
  lastValidation: ValidationReport | null = null;
  lastCheckpoint: CheckpointReport | null = null;
  /** 0 before the first. */
  lastStep = 0;
  readonly routing = new RoutingTotals();
  #coordinator: Coordinator | null = null;
  #record: RunRecord | null = null;
  readonly #startedMs = performance.now();

  constructor(
    readonly folder: RunFolder,
    readonly view: RunView,
    readonly dataset: Dataset,
  ) {}

  get seconds(): number {
    return (performance.now() - this.#startedMs) / 1000;
  }

  /** Makes the run findable: from here on `status` and `logs` reach it. */
  begin(
    coordinator: Coordinator,
    place: Pick<RunRecord, 'address' | 'localAddress' | 'http' | 'isSecured'>,
  ): void {
    const { runId, generation, datasetDir } = coordinator.options.identity;
    this.#coordinator = coordinator;
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
  }

  membership(text: string): void {
    this.view.membership(text);
  }

  state(state: RunState): void {
    if (this.#record === null) return;
    this.#record = { ...this.#record, state: state.kind };
    this.folder.writeRecord(this.#record);
  }

  step(step: GlobalStep): void {
    this.lastStep = step.step;
    this.folder.appendMetrics({ type: 'step', ...step });
    this.routing.add(step.layers);
    if (this.#coordinator !== null) this.view.step(step, this.#coordinator.status());
  }

  validation(report: ValidationReport): void {
    this.lastValidation = report;
    this.folder.appendMetrics({ type: 'validation', ...report });
    this.view.validation(report);
  }

  checkpoint(report: CheckpointReport): void {
    this.lastCheckpoint = report;
    this.folder.appendMetrics({ type: 'checkpoint', ...report });
    this.view.print(`checkpoint at step ${report.step}: ${report.directory}`);
  }
}
