import type { FailureReport } from '@locmoe/run-format';
import type { OpenRun, RunView } from '../coordinator/run-view.js';
import { stopOf } from '../run/run-end.js';
import { failureLines } from './failure-lines.js';
import { accountLine } from './generation-lines.js';
import { lineView, progressLine, restartLine, type ViewOptions, validationLine } from './run-lines.js';
import { summarize } from './run-summary.js';

const INTERVAL_MS = 2_000;

/**
 * Shows a run to a log collector: the coordinator's log on standard output, with a record of the progress at most every
 * two seconds.
 */
export function logView(run: OpenRun, options: ViewOptions): RunView {
  const { logger, totals, logs } = run;
  const close = logs.onAppend((line, source) => {
    if (source === 'coordinator') process.stdout.write(`${line}\n`);
  });
  let shownAtMs = Number.NEGATIVE_INFINITY;
  return {
    ...lineView(run, options, (line) => logger.info(line)),
    step(step, snapshot) {
      const { steps, tokensPerS, secondsLeft } = snapshot;
      const now = performance.now();
      if (step.step !== steps && now - shownAtMs < INTERVAL_MS) return;
      shownAtMs = now;
      logger.info(
        { step: step.step, steps, loss: step.loss, tokensPerS, secondsLeft },
        progressLine(step, snapshot, totals).trim(),
      );
    },
    validation(report) {
      logger.info({ step: report.step, validation: report.domains }, validationLine(report, options.dataset));
    },
    restarts(failure, restartsLeft) {
      logger.warn({ ...placeOf(failure), restartsLeft, failure }, restartLine(failure, restartsLeft));
    },
    recovered: (recovery) => logger.info({ recovery }, `recovered: ${accountLine(recovery)}`),
    failed({ exitCode, report: failure }) {
      const { checkpoint } = failure;
      logger.fatal({ ...placeOf(failure), exitCode, checkpoint, failure }, failureLines(failure)[0]);
    },
    async finished({ exitCode, stopped }) {
      await summarize(run, options, { stopped, show: () => undefined });
      const { lastStep, lastValidation, lastCheckpoint, seconds, numRestarts, lostS } = totals;
      const known = { validation: lastValidation, checkpoint: lastCheckpoint, seconds, numRestarts, lostS };
      logger.info(
        { exitCode, lastStep, ...known },
        stopped === null ? 'run done' : `run ${stopOf(stopped, lastStep, run.identity.config)}`,
      );
    },
    close,
  };
}

/** Returns the fields by which log queries find a rank or a step. */
function placeOf({ node, rank, step }: FailureReport): object {
  return { node: node ?? undefined, rank: rank ?? undefined, step: step ?? undefined };
}
