import { LogsError } from '../errors.js';
import type { TimeRange } from '../store/instant.js';
import type { LogCatalog } from '../store/log-catalog.js';
import type { LogFile } from '../store/log-file.js';
import { BlockReader, type FileView, viewOf } from '../store/log-reader.js';
import { Pacer, type PacerOptions } from '../store/pacer.js';
import { RunLogs } from '../store/run-logs.js';
import type { LogStream } from '../store/streams.js';
import type { LogQuery, Matcher, MetricQuery } from './ast.js';
import { compileMatchers } from './label-test.js';
import { type Direction, type LogEntry, readEntries } from './log-entries.js';
import { evaluateMetric } from './metric-query.js';
import { compilePipeline } from './pipeline.js';
import type { TimeGrid, Value } from './series.js';

const QUERY_LIMIT_MS = 30_000;
/** As Loki. */
const MAX_POINTS = 11_000;
/** Clocks of nodes may differ by this much from the clock that stamps the files. */
const CLOCK_SLACK_MS = 3_600_000;
/** For how long the list of runs is taken as it was. */
const CATALOG_MS = 500;

/** Answers LogQL queries over the logs of a catalog's runs; their indexes are kept between queries. */
export class LogEngine {
  readonly #runs = new Map<string, RunLogs>();
  #listedMs = Number.NEGATIVE_INFINITY;

  constructor(readonly catalog: LogCatalog) {}

  /**
   * The lines that a query selects, in order of time, in batches; the rest is not read once nobody asks for more.
   *
   * @throws LogsError `BAD_INPUT` if it takes too long
   */
  async *lines(
    query: LogQuery,
    range: TimeRange,
    direction: Direction,
    options: PacerOptions = {},
  ): AsyncGenerator<LogEntry[]> {
    const views = await this.open(query.matchers, range.start.timeMs);
    yield* this.linesOf(views, query, range, direction, options);
  }

  /** As `lines`, of files that were opened before. */
  async *linesOf(
    views: readonly FileView[],
    query: LogQuery,
    range: TimeRange,
    direction: Direction,
    options: PacerOptions = {},
  ): AsyncGenerator<LogEntry[]> {
    const reader = newReader(options);
    try {
      yield* readEntries(views, compilePipeline(query.stages), range, direction, reader);
    } finally {
      reader.close();
    }
  }

  /**
   * Evaluates a metric query at the points of a grid.
   *
   * @throws LogsError `BAD_INPUT` if the grid or the outcome is too large, if it takes too long, or if lines could
   *   not be read as the query asks
   */
  async evaluate(query: MetricQuery, grid: TimeGrid, options: PacerOptions = {}): Promise<Value> {
    if (grid.numPoints > MAX_POINTS)
      throw new LogsError(
        'BAD_INPUT',
        `exceeded maximum resolution of ${MAX_POINTS} points per time series. Try increasing the value of the step parameter`,
      );
    const reader = newReader(options);
    try {
      return await evaluateMetric(query, grid, {
        reader,
        open: (matchers, sinceMs) => this.open(matchers, sinceMs),
      });
    } finally {
      reader.close();
    }
  }

  /**
   * The files that hold streams with these labels, indexed up to now.
   *
   * @param sinceMs what was logged before does not matter
   */
  async open(matchers: readonly Matcher[], sinceMs: number): Promise<FileView[]> {
    const matches = compileMatchers(matchers);
    const isSelected = (stream: LogStream) => matches(stream.labels);
    const files: LogFile[] = [];
    for (const run of this.#runsThatMay(matchers))
      files.push(...(await run.refresh(sinceMs - CLOCK_SLACK_MS)));
    return files
      .map((file) => viewOf(file, isSelected))
      .filter(({ file }) => file.streams.all.some(isSelected));
  }

  /** Runs that are not ruled out by their id: all lines of a run have it as a label. */
  #runsThatMay(matchers: readonly Matcher[]): RunLogs[] {
    const now = performance.now();
    if (now - this.#listedMs > CATALOG_MS) {
      this.#listedMs = now;
      const folders = this.catalog.runs();
      const known = new Map(folders.map((folder) => [folder.run, folder]));
      for (const run of this.#runs.keys()) if (!known.has(run)) this.#runs.delete(run);
      for (const folder of folders)
        if (this.#runs.get(folder.run)?.folder.directory !== folder.directory)
          this.#runs.set(folder.run, new RunLogs(folder));
    }
    const matches = compileMatchers(matchers.filter(({ name }) => name === 'run'));
    return [...this.#runs.values()].filter(({ folder }) => matches(new Map([['run', folder.run]])));
  }
}

function newReader({ limitMs = QUERY_LIMIT_MS, signal }: PacerOptions): BlockReader {
  return new BlockReader(new Pacer({ limitMs, ...(signal === undefined ? {} : { signal }) }));
}
