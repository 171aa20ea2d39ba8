import type {
  CheckpointReport,
  FailureReport,
  GlobalStep,
  RecoveryAccount,
  Validation,
} from '@locmoe/run-format';
import type { FailedRun, FinishedRun, OpenRun, RunView } from '../coordinator/run-view.js';
import { stopOf } from '../run/run-end.js';
import type { GenerationView, RunSnapshot } from '../run/run-listener.js';
import { failureLines } from './failure-lines.js';
import {
  accountLine,
  checkpointLine,
  generationLine,
  openingLines,
  progressLine,
  restartLine,
  type ViewOptions,
  validationLine,
} from './run-lines.js';
import { summarize } from './run-summary.js';

const INTERVAL_MS = 2_000;

/**
 * Shows a run to a log collector: the coordinator's log on standard output, with a record of the progress at
 * most every two seconds.
 */
export class LogView implements RunView {
  readonly #removeListener: () => void;
  #shownAtMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly run: OpenRun,
    private readonly options: ViewOptions,
  ) {
    this.#removeListener = run.logs.onAppend((line, source) => {
      if (source === 'coordinator') process.stdout.write(`${line}\n`);
    });
  }

  begun(): void {
    for (const line of openingLines(this.run, this.options)) this.print(line);
  }

  step(step: GlobalStep, run: RunSnapshot): void {
    const now = performance.now();
    if (step.step !== run.steps && now - this.#shownAtMs < INTERVAL_MS) return;
    this.#shownAtMs = now;
    const { loss } = step;
    const { steps, tokensPerS, secondsLeft } = run;
    this.run.logger.info(
      { step: step.step, steps, loss, tokensPerS, secondsLeft },
      progressLine(step, run, this.run.totals).trim(),
    );
  }

  validation(report: Validation): void {
    this.run.logger.info(
      { step: report.step, validation: report.domains },
      validationLine(report, this.options.dataset),
    );
  }

  checkpoint(report: CheckpointReport): void {
    this.print(checkpointLine(report));
  }

  restarts(report: FailureReport, restartsLeft: number): void {
    this.run.logger.warn(
      { ...placeOf(report), restartsLeft, failure: report },
      restartLine(report, restartsLeft),
    );
  }

  generation(generation: GenerationView): void {
    this.print(generationLine(generation));
  }

  recovered(account: RecoveryAccount): void {
    this.run.logger.info({ recovery: account }, `recovered: ${accountLine(account)}`);
  }

  print(line: string): void {
    this.run.logger.info(line);
  }

  failed({ exitCode, report }: FailedRun): void {
    const { checkpoint } = report;
    this.run.logger.fatal(
      { ...placeOf(report), exitCode, checkpoint, failure: report },
      failureLines(report)[0],
    );
  }

  async finished({ exitCode, stopped }: FinishedRun): Promise<void> {
    const { dataset, samples } = this.options;
    await summarize(this.run, dataset, { stopped, samples, show: () => undefined });
    const { lastStep, lastValidation, lastCheckpoint, seconds, numRestarts, lostS } = this.run.totals;
    const known = { validation: lastValidation, checkpoint: lastCheckpoint, seconds, numRestarts, lostS };
    this.run.logger.info(
      { exitCode, lastStep, ...known },
      stopped === null ? 'run done' : `run ${stopOf(stopped, lastStep, this.run.identity.config)}`,
    );
  }

  close(): void {
    this.#removeListener();
  }
}

/** Fields by which log queries find a rank or a step. */
function placeOf({ node, rank, step }: FailureReport): object {
  return { node: node ?? undefined, rank: rank ?? undefined, step: step ?? undefined };
}
