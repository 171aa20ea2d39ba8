import type { StatusReply, ValidationReport } from '../rpc/messages.js';
import type { GlobalStep } from '../run/global-step.js';

/** Where a run shows itself as it goes: to a person (progress-view.ts) or to a log collector (log-view.ts). */
export interface RunView {
  /** Shows a step; `status` gives the totals and the speed. */
  step(step: GlobalStep, status: StatusReply): void;
  validation(report: ValidationReport): void;
  /** Who joined or left before the start. */
  membership(text: string): void;
  print(line: string): void;
  close(): void;
}
