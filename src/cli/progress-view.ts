import type { GlobalStep } from '@locmoe/run-format';
import { wrapped } from '../format.js';
import type { RunSnapshot } from '../run/run-listener.js';
import type { Screen } from './progress-line.js';
import { progressLine, type RestartView, SEPARATOR } from './run-lines.js';

const PLAIN_INTERVAL_MS = 2_000;
const LIVE_INTERVAL_MS = 100;

/**
 * Progress of a run: one line rewritten in place in a terminal, a line every two seconds elsewhere. Other output goes
 * through `print`, which redraws the live line below it.
 */
export class ProgressView {
  #live = '';
  #shownAtMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly screen: Screen,
    private readonly restarts: RestartView,
    private readonly nowMs: () => number = () => performance.now(),
  ) {}

  step(step: GlobalStep, run: RunSnapshot): void {
    const now = this.nowMs();
    const isLast = step.step === run.steps;
    const intervalMs = this.screen.isTTY ? LIVE_INTERVAL_MS : PLAIN_INTERVAL_MS;
    if (!isLast && now - this.#shownAtMs < intervalMs) return;
    this.#shownAtMs = now;
    const line = progressLine(step, run, this.restarts);
    if (this.screen.isTTY) this.#draw(line);
    else this.screen.write(`${line}\n`);
  }

  /** Replaces the live line until the next step. */
  pause(line: string): void {
    if (this.screen.isTTY && this.#live !== '') this.#draw(line);
  }

  /** Prints a line above the live line. */
  print(line: string): void {
    const { isTTY } = this.screen;
    const text = isTTY ? wrapped(line, '  ', this.screen.columns()) : line;
    if (!isTTY || this.#live === '') {
      this.screen.write(`${text}\n`);
      return;
    }
    const live = this.#live;
    this.screen.write(`\r\x1b[2K${text}\n`);
    this.#draw(live);
  }

  /** Ends the live line, which stays visible. */
  close(): void {
    if (this.#live !== '') this.screen.write('\n');
    this.#live = '';
  }

  #draw(line: string): void {
    this.#live = cut(line, this.screen.columns() - 1);
    this.screen.write(`\r\x1b[2K${this.#live}`);
  }
}

/** Keeps as many complete fields of the line as fit. */
function cut(line: string, columns: number): string {
  if (line.length <= columns) return line;
  const end = line.lastIndexOf(SEPARATOR, columns);
  return line.slice(0, end > 0 ? end : columns);
}
