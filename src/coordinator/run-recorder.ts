import type { Dataset } from '../data/index.js';
import { machineIdentity, processIdentity } from '../observability/process-info.js';
import type { CheckpointReport, ValidationReport } from '../rpc/messages.js';
import type { Coordinator, RunListener } from './coordinator.js';
import { RoutingTotals } from './routing-totals.js';
import type { RunFolder, RunRecord } from './run-folder.js';
import type { RunState } from './run-state.js';
import type { RunView } from './run-view.js';
import type { GlobalStep } from './step-aggregator.js';

/** Heartbeats come twice a second from every node; one record of all ranks in this time tells enough. */
const HEARTBEAT_RECORD_MS = 2_000;

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
  #heartbeatRecordedMs = Number.NEGATIVE_INFINITY;

  constructor(
    readonly folder: RunFolder,
    readonly view: RunView,
    readonly dataset: Dataset,
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
    this.#append('generation', { generation, resumedFrom });
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
    this.#append('step', step);
    this.routing.add(step.layers);
    if (this.#coordinator !== null) this.view.step(step, this.#coordinator.status());
  }

  validation(report: ValidationReport): void {
    this.lastValidation = report;
    this.#append('validation', report);
    this.view.validation(report);
  }

  checkpoint(report: CheckpointReport): void {
    this.lastCheckpoint = report;
    this.#append('checkpoint', report);
    this.view.print(`checkpoint at step ${report.step}: ${report.directory}`);
  }

  heartbeat(): void {
    const ranks = this.#coordinator?.ranks ?? [];
    const now = performance.now();
    if (ranks.length === 0 || now - this.#heartbeatRecordedMs < HEARTBEAT_RECORD_MS) return;
    this.#heartbeatRecordedMs = now;
    this.#append('heartbeat', {
      ranks: ranks.map(({ rank, node, step, phase, operation, processState, residentBytes }) => ({
        ...{ rank, node, step, phase, operation, processState, residentBytes },
      })),
    });
  }

  /** One line of the metrics, with the wall clock in ms since 1970. */
  #append(type: 'generation' | 'step' | 'validation' | 'checkpoint' | 'heartbeat', record: object): void {
    this.folder.appendMetrics({ type, time: Date.now(), ...record });
  }
}
