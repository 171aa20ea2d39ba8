import type { ValidationReport } from '../rpc/messages.js';
import type { GlobalStep } from '../run/global-step.js';
import type { RunSnapshot } from '../run/run-listener.js';

/** Where a run shows itself as it goes: to a person (progress-view.ts) or to a log collector (log-view.ts). */
export interface RunView {
  step(step: GlobalStep, run: RunSnapshot): void;
  validation(report: ValidationReport): void;
  /** Who joined or left before the start. */
  membership(text: string): void;
  print(line: string): void;
  close(): void;
}
