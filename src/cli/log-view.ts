import type { RunView } from '../coordinator/run-view.js';
import type { Logger } from '../logger.js';
import type { ValidationReport } from '../rpc/messages.js';
import type { GlobalStep } from '../run/global-step.js';
import type { RunSnapshot } from '../run/run-listener.js';
import { progressLine, validationLine } from './progress-view.js';

const INTERVAL_MS = 2_000;

/** The progress of a run as log records: a step at most every two seconds, and the last. */
export class LogView implements RunView {
  #shownAtMs = Number.NEGATIVE_INFINITY;

  constructor(readonly logger: Logger) {}

  step(step: GlobalStep, run: RunSnapshot): void {
    const now = performance.now();
    if (step.step !== run.steps && now - this.#shownAtMs < INTERVAL_MS) return;
    this.#shownAtMs = now;
    const { loss } = step;
    const { steps, tokensPerS, secondsLeft } = run;
    this.logger.info(
      { step: step.step, steps, loss, tokensPerS, secondsLeft },
      progressLine(step, run).trim(),
    );
  }

  validation(report: ValidationReport): void {
    this.logger.info({ step: report.step, validation: report.domains }, validationLine(report));
  }

  /** The coordinator's own log tells it. */
  membership(): void {}

  print(line: string): void {
    this.logger.info(line);
  }

  close(): void {}
}
