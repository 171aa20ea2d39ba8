import type { RunView } from '../coordinator/run-view.js';
import { formatCount, formatDuration, formatShare } from '../format.js';
import type { ValidationReport } from '../rpc/messages.js';
import { droppedShare, type GlobalStep, locality } from '../run/global-step.js';
import type { RunSnapshot } from '../run/run-listener.js';
import { meanLoss } from '../run/validation-loss.js';

/** Between the fields of the progress line. */
const SEPARATOR = '  ';
const PLAIN_INTERVAL_MS = 2_000;
const LIVE_INTERVAL_MS = 100;

/** Where a run shows itself to a person. */
export interface Screen {
  readonly isTTY: boolean;
  /** Now: a terminal may change its size. */
  readonly columns: () => number;
  write(text: string): void;
}

/**
 * The progress of a run: one line that is rewritten in a terminal, a line every two seconds elsewhere. Other output
 * goes through `print`, so that it does not tear the live line.
 */
export class ProgressView implements RunView {
  #live = '';
  #shownAtMs = Number.NEGATIVE_INFINITY;

  constructor(
    readonly screen: Screen,
    readonly nowMs: () => number = () => performance.now(),
  ) {}

  step(step: GlobalStep, run: RunSnapshot): void {
    const now = this.nowMs();
    const isLast = step.step === run.steps;
    const intervalMs = this.screen.isTTY ? LIVE_INTERVAL_MS : PLAIN_INTERVAL_MS;
    if (!isLast && now - this.#shownAtMs < intervalMs) return;
    this.#shownAtMs = now;
    const line = progressLine(step, run);
    if (this.screen.isTTY) this.#draw(line);
    else this.screen.write(`${line}\n`);
  }

  validation(report: ValidationReport): void {
    this.print(validationLine(report));
  }

  membership(text: string): void {
    this.print(text);
  }

  /** Prints a line above the live one. */
  print(line: string): void {
    if (!this.screen.isTTY || this.#live === '') {
      this.screen.write(`${line}\n`);
      return;
    }
    const live = this.#live;
    this.screen.write(`\r\x1b[2K${line}\n`);
    this.#draw(live);
  }

  /** Leaves the last state of the live line standing. */
  close(): void {
    if (this.#live !== '') this.screen.write('\n');
    this.#live = '';
  }

  #draw(line: string): void {
    this.#live = cut(line, this.screen.columns() - 1);
    this.screen.write(`\r\x1b[2K${this.#live}`);
  }
}

export function validationLine({ step, domains }: ValidationReport): string {
  const byDomain = domains.map(({ domain, loss: each }) => `${domain} ${each.toFixed(3)}`).join('  ');
  return `validation at step ${step}: loss ${meanLoss({ domains }).toFixed(3)}  (${byDomain})`;
}

export function progressLine(step: GlobalStep, run: RunSnapshot): string {
  const shares = locality(step.layers);
  const dropped = droppedShare(step.layers);
  const width = String(run.steps).length;
  return [
    `step ${String(step.step).padStart(width)}/${run.steps}`,
    `loss ${step.loss.toFixed(3)}`,
    run.tokensPerS > 0 && `left ${formatDuration(run.secondsLeft)}`,
    run.tokensPerS > 0 && `${formatCount(run.tokensPerS)} tokens/s`,
    shares &&
      `stayed on worker ${formatShare(shares.sameWorker)}, node ${formatShare(shares.sameNode)}, crossed ${formatShare(shares.otherNode)}`,
    dropped > 0 && `dropped ${formatShare(dropped)}`,
  ]
    .filter(Boolean)
    .join(SEPARATOR);
}

/** As many whole fields as fit. */
function cut(line: string, columns: number): string {
  if (line.length <= columns) return line;
  const end = line.lastIndexOf(SEPARATOR, columns);
  return line.slice(0, end > 0 ? end : columns);
}
