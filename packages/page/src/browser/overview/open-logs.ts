import type { RunDetail } from '../../api-types.js';
import { setState } from '../location.js';
import type { LogLine } from '../logs/log-line.js';
import { quoted, runSelector, stepQuery } from '../loki.js';
import { rangeState } from '../page-state.js';
import type { RunData } from './run-data.js';

/** Lines of a step may be written slightly before or after it. */
const STEP_MARGIN_MS = 1_000;
const MOMENT_MARGIN_MS = 5_000;
const FAILURE_MARGIN_MS = 30_000;

/** Opens the log. @param range ms since 1970; null for the whole run */
export function openLogs(query: string, range: readonly [number, number] | null, line?: LogLine): void {
  setState(
    { view: 'logs', query, ...rangeState(range), live: false, line: line?.ns ?? null },
    { push: true },
  );
}

/** Opens the lines of a step, on all ranks. */
export function openStep(run: RunData, step: number): void {
  const query = stepQuery(run.runId, step);
  if (run.metrics?.hasTimes === false) {
    openLogs(query, null);
    return;
  }
  const isDone = step <= (run.metrics?.lastStep ?? 0);
  const end = isDone ? run.clock.timeOf(step) : (run.detail?.endedAt ?? Date.now());
  openLogs(query, [run.clock.timeOf(step - 1) - STEP_MARGIN_MS, end + STEP_MARGIN_MS]);
}

export function openFailure({ runId, failure, endedAt }: RunDetail): void {
  const time = failure?.time || (endedAt ?? Date.now());
  const query = failure?.step == null ? '' : stepQuery(runId, failure.step);
  openLogs(query, [time - FAILURE_MARGIN_MS, time + FAILURE_MARGIN_MS / 3]);
}

/** Opens the lines around a time. @param rank whose lines; null for all */
export function openMoment({ runId }: RunData, time: number, rank: number | null = null): void {
  const query = rank === null ? '' : `{run=${quoted(runId)}, rank="${rank}"}`;
  openLogs(query, [time - MOMENT_MARGIN_MS, time + MOMENT_MARGIN_MS]);
}

/** Opens a line among those around it. */
export function openLine(runId: string, line: LogLine): void {
  const { timeMs } = line;
  openLogs(runSelector(runId), [timeMs - FAILURE_MARGIN_MS, timeMs + FAILURE_MARGIN_MS], line);
}
