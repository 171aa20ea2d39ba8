import { existsSync } from 'node:fs';
import { parseRecord } from '@locmoe/logs';
import {
  type CheckpointReport,
  commandLine,
  type FailureReport,
  fromHere,
  type GlobalStep,
  type RecoveryAccount,
  type Validation,
} from '@locmoe/run-format';
import type { FailedRun, FinishedRun, OpenRun, RunView } from '../coordinator/run-view.js';
import { printable, wrapped } from '../format.js';
import type { GenerationView, RunSnapshot } from '../run/run-listener.js';
import { failureLines } from './failure-lines.js';
import { screenOf } from './progress-line.js';
import { ProgressView } from './progress-view.js';
import {
  accountLine,
  checkpointLine,
  generationLine,
  openingLines,
  restartLine,
  type ViewOptions,
  validationLine,
} from './run-lines.js';
import { summarize } from './run-summary.js';
import { TimeEstimate } from './time-estimate.js';

/** Recognises a pino line of another level than warn by its head, so that most lines need no parsing. */
const NO_WARNING = /^\{"level":"(?:trace|debug|info|error|fatal)","time":\d/;

/** Shows a run to a person: progress and warnings, at the end its summary or why it failed. */
export class TerminalView implements RunView {
  readonly #progress: ProgressView;
  readonly #time: TimeEstimate;
  readonly #removeListener: () => void;

  constructor(
    private readonly run: OpenRun,
    private readonly options: ViewOptions,
  ) {
    this.#time = new TimeEstimate(run.identity.config.train.earlyStop !== null);
    this.#progress = new ProgressView(screenOf(process.stdout), run.totals);
    const shown = new Set<string>();
    // Each warning is printed once; the error that ends a run is printed at its end.
    this.#removeListener = run.logs.onAppend((line) => {
      if (NO_WARNING.test(line)) return;
      const { level, msg } = parseRecord(line) ?? { level: 'warn', msg: line };
      if (level !== 'warn' || shown.has(msg)) return;
      shown.add(msg);
      this.print(`warning: ${printable(msg)}`);
    });
  }

  begun(): void {
    for (const line of openingLines(this.run, this.options)) this.print(line);
  }

  step(step: GlobalStep, run: RunSnapshot): void {
    this.#progress.step(step, run);
    const time = this.#time.line(step, run);
    if (time !== null) this.print(time);
  }

  validation(report: Validation): void {
    this.print(validationLine(report, this.options.dataset));
  }

  checkpoint(report: CheckpointReport): void {
    this.print(checkpointLine(report));
  }

  membership(text: string): void {
    this.print(text);
  }

  restarts(report: FailureReport, restartsLeft: number): void {
    this.print(restartLine(report, restartsLeft));
    this.#progress.pause('restarting');
  }

  generation(generation: GenerationView): void {
    this.print(generationLine(generation));
  }

  recovered(account: RecoveryAccount): void {
    this.print(`recovered: ${accountLine(account)}`);
  }

  print(line: string): void {
    this.#progress.print(line);
  }

  failed({ report }: FailedRun): void {
    this.#progress.close();
    const { directory, flight } = this.run.folder;
    const place = fromHere(directory);
    const lagging = existsSync(flight) ? [`  who lagged: ${commandLine(['locmoe', 'flight', place])}`] : [];
    const look = `  look: ${commandLine(['locmoe', 'inspect', '--run', place])}`;
    console.error(
      [`locmoe: ${failureLines(report, process.stderr.columns).join('\n')}`, ...lagging, look].join('\n'),
    );
  }

  async finished({ stopped }: FinishedRun): Promise<void> {
    this.#progress.close();
    const { dataset, samples } = this.options;
    const show = (text: string) => process.stdout.write(`${text.split('\n').map(wrappedProse).join('\n')}\n`);
    await summarize(this.run, dataset, { stopped, samples, show });
  }

  close(): void {
    this.#progress.close();
    this.#removeListener();
  }
}

/** Wraps prose; an indented line is a row of a table, or a command. */
function wrappedProse(line: string): string {
  return line.startsWith('  ') ? line : wrapped(line, '  ');
}
