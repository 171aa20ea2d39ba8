import { type Level, levelOf } from '../levels.js';
import { signatureOf } from '../logs/dedup.js';
import { type LogLine, queryLines } from '../logs/log-line.js';
import { querySeries, quoted, runSelector } from '../loki.js';
import type { RunData } from './run-data.js';

const NUM_BUCKETS = 240;
/** Maximum number of a run's last warnings that are examined. */
const MAX_WARNINGS = 500;
/** Lines of other nodes arrive within this time. */
const LATE_MS = 5_000;

/** When each rank logged, by level. */
export interface LogActivity {
  readonly ranks: readonly number[];
  readonly marks: readonly { readonly rank: number; readonly time: number; readonly level: Level }[];
  /** Width of a step of the counts. */
  readonly stepMs: number;
  /** The end of the last step in which no more lines are expected, in ms since 1970. */
  readonly settledUntil: number;
}

/**
 * Fetches what is new since an earlier answer: its last steps are counted again, as lines may come late.
 *
 * @param known an answer for the same run; null for none
 * @throws RequestError
 */
export async function fetchLogActivity(run: RunData, known: LogActivity | null): Promise<LogActivity> {
  const askedAt = Date.now();
  const [runStart, end] = spanOf(run);
  const stepMs = stepOf(end - runStart);
  const isSameStep = known?.stepMs === stepMs;
  const from = isSameStep ? known.settledUntil : Math.floor(runStart / stepMs) * stepMs;
  const until = Math.ceil(end / stepMs) * stepMs;
  const counts = (lines: string) =>
    querySeries({
      query: `sum by (rank, level) (count_over_time(${lines}[${stepMs}ms]))`,
      // A sample counts the step that ends there.
      start: from + stepMs,
      end: until + stepMs,
      stepMs,
    });
  const ofCoordinator = `{run=${quoted(run.runId)}, source="coordinator", level=~"warn|error|fatal"}`;
  const series = [
    ...(await counts(runSelector(run.runId))),
    // A line of the coordinator about a rank has the rank as a field, not as a label.
    ...(await counts(`${ofCoordinator} | json | rank != ""`)),
  ];
  const ofRanks = series.filter(({ metric }) => /^\d+$/.test(metric.rank ?? ''));
  const marks = ofRanks.flatMap(({ metric: { rank, level }, values }) => {
    const logged = values.filter(([, count]) => Number(count) > 0);
    // The point lies in the middle of its step.
    const times = logged.map(([seconds]) => 1e3 * seconds - stepMs / 2);
    return times.map((time) => ({ rank: Number(rank), time, level: levelOf(level) }));
  });
  const before = isSameStep ? known.marks.filter(({ time }) => time < from) : [];
  const all = [...before, ...marks];
  return {
    ranks: [...new Set(all.map(({ rank }) => rank))].sort((a, b) => a - b),
    marks: all,
    stepMs,
    settledUntil: Math.min(until, Math.floor((askedAt - LATE_MS) / stepMs) * stepMs),
  };
}

/** Returns the step, which doubles as the run grows, so that most answers extend the previous one. */
function stepOf(spanMs: number): number {
  return 1_000 * 2 ** Math.max(0, Math.ceil(Math.log2(spanMs / NUM_BUCKETS / 1_000)));
}

/** Fetches the first error of each generation, oldest first. @throws RequestError */
export async function fetchFirstErrors(run: RunData): Promise<LogLine[]> {
  const [start, end] = spanOf(run);
  const generations = Array.from({ length: run.detail?.generation ?? 1 }, (_, index) => index + 1).slice(-5);
  const lines = generations.map((generation) => {
    const query = `{run=${quoted(run.runId)}, generation="${generation}", level=~"error|fatal|critical"}`;
    return queryLines({ query, start, end, limit: 1, direction: 'forward' });
  });
  return (await Promise.all(lines)).flat();
}

/** Warnings that differ only in numbers. */
export interface WarningKind {
  /** The newest warning of this kind. */
  readonly line: LogLine;
  readonly count: number;
}

/** Fetches the kinds of warnings among a run's last ones, the newest first. @throws RequestError */
export async function fetchWarnings(run: RunData): Promise<WarningKind[]> {
  const [start, end] = spanOf(run);
  const query = `{run=${quoted(run.runId)}, level="warn"}`;
  const lines = await queryLines({ query, start, end, limit: MAX_WARNINGS });
  const kinds = new Map<string, LogLine[]>();
  for (const line of lines.toSorted((a, b) => b.timeMs - a.timeMs)) {
    const kind = signatureOf(line, 'numbers') ?? '';
    kinds.set(kind, [...(kinds.get(kind) ?? []), line]);
  }
  return [...kinds.values()].map((alike) => ({ line: alike[0]!, count: alike.length }));
}

/** Returns the time range of the run, with a minute added on either side. */
function spanOf(run: Pick<RunData, 'startedAt' | 'detail'>): readonly [number, number] {
  const { detail } = run;
  const end = detail?.isLive || detail?.endedAt == null ? Date.now() : detail.endedAt;
  return [run.startedAt - 60_000, end + 60_000];
}
