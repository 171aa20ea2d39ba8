import type { CheckpointReport, ValidationReport } from '../rpc/messages.js';
import type { GlobalStep } from './global-step.js';
import { RoutingTotals } from './routing-totals.js';
import type { RunListener } from './run-listener.js';

/** Results of a generation: its last step, validation and checkpoint, and its routing summed up. */
export class RunTotals implements RunListener {
  /** 0 before the first. */
  lastStep = 0;
  lastValidation: ValidationReport | null = null;
  lastCheckpoint: CheckpointReport | null = null;
  readonly routing = new RoutingTotals();
  readonly #startedMs = performance.now();

  get seconds(): number {
    return (performance.now() - this.#startedMs) / 1000;
  }

  step({ step, layers }: GlobalStep): void {
    this.lastStep = step;
    this.routing.add(layers);
  }

  validation(report: ValidationReport): void {
    this.lastValidation = report;
  }

  checkpoint(report: CheckpointReport): void {
    this.lastCheckpoint = report;
  }
}
