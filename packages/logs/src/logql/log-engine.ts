import { statSync } from 'node:fs';
import type { TimeRange } from '../store/instant.js';
import type { LogCatalog, LogFolder } from '../store/log-catalog.js';
import { LogFile, logFilesIn } from '../store/log-file.js';
import { BlockReader, type FileView, type QueryOptions, viewOf } from '../store/log-reader.js';
import { Pacer } from '../store/pacer.js';
import type { LogStream } from '../store/streams.js';
import type { LogQuery, Matcher, MetricQuery } from './ast.js';
import { compileMatchers } from './label-test.js';
import { type Direction, type LogEntry, readEntries } from './log-entries.js';
import { evaluateMetric } from './metric-query.js';
import { compilePipeline } from './pipeline.js';
import type { TimeGrid, Value } from './series.js';

export const QUERY_LIMIT_MS = 30_000;
/** Times in lines may differ by this much from file modification times, as the clocks of nodes differ. */
const CLOCK_SLACK_MS = 3_600_000;
/** How long the list of runs is cached. */
const CATALOG_MS = 500;

interface Selector {
  readonly matchesRun: (run: RunLogs) => boolean;
  readonly isSelected: (stream: LogStream) => boolean;
}

/** Evaluates LogQL over a catalog. Indexes are cached between queries. */
export class LogEngine {
  readonly #runs = new Map<string, RunLogs>();
  /**
   * Compiled selectors: a follower queries with the same matchers at every poll, and compiling a regular
   * expression takes longer than testing it.
   */
  readonly #selectors = new WeakMap<readonly Matcher[], Selector>();
  #listedMs = Number.NEGATIVE_INFINITY;

  constructor(private readonly catalog: LogCatalog) {}

  /**
   * Yields the lines of a log query in time order, in batches. Files are read as batches are requested.
   *
   * @throws LogsError `BAD_INPUT` past the time limit
   */
  async *lines(
    query: LogQuery,
    range: TimeRange,
    direction: Direction,
    options: QueryOptions = {},
  ): AsyncGenerator<LogEntry[]> {
    const views = await this.open(query.matchers, range.start.timeMs);
    yield* this.linesOf(views, query, range, direction, options);
  }

  /** Reads lines like `lines`, from snapshots that `open` returned. */
  async *linesOf(
    views: readonly FileView[],
    query: LogQuery,
    range: TimeRange,
    direction: Direction,
    options: QueryOptions = {},
  ): AsyncGenerator<LogEntry[]> {
    const reader = newReader(options);
    try {
      yield* readEntries(views, compilePipeline(query.stages), range, direction, reader);
    } finally {
      reader.close();
    }
  }

  /**
   * Evaluates a metric query at every point of a grid.
   *
   * @throws LogsError `BAD_INPUT` beyond a limit of series or time, or for a pipeline error
   */
  async evaluate(query: MetricQuery, grid: TimeGrid, options: QueryOptions = {}): Promise<Value> {
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
   * Snapshots of the files with matching streams, indexed up to now.
   *
   * @param sinceMs earlier lines are not needed
   */
  async open(matchers: readonly Matcher[], sinceMs: number): Promise<FileView[]> {
    const { isSelected, matchesRun } = this.#selectorOf(matchers);
    const pacer = new Pacer({ limitMs: QUERY_LIMIT_MS });
    const files: LogFile[] = [];
    for (const run of await this.#candidates(matchesRun, pacer))
      files.push(...(await run.refresh(sinceMs - CLOCK_SLACK_MS)));
    const views: FileView[] = [];
    for (const file of files) {
      const view = viewOf(file, isSelected);
      let isNeeded = false;
      // All streams are tested here, so that a block never has to test many at once.
      for (const stream of file.streams.all) {
        if (pacer.isDue) await pacer.rest();
        if (view.isSelected(stream)) isNeeded = true;
      }
      if (isNeeded) views.push(view);
    }
    return views;
  }

  /** Returns the files of runs that match, as known since the last `open`. */
  knownFiles(matchers: readonly Matcher[]): LogFile[] {
    const { matchesRun } = this.#selectorOf(matchers);
    return [...this.#runs.values()].filter(matchesRun).flatMap(({ files }) => files);
  }

  #selectorOf(matchers: readonly Matcher[]): Selector {
    let selector = this.#selectors.get(matchers);
    if (selector === undefined) {
      const matches = compileMatchers(matchers);
      const matchesRun = compileMatchers(matchers.filter(({ name }) => name === 'run'));
      selector = {
        matchesRun: ({ folder }) => matchesRun(new Map([['run', folder.run]])),
        isSelected: ({ labels }) => matches(labels),
      };
      this.#selectors.set(matchers, selector);
    }
    return selector;
  }

  /** @param matchesRun whether the matchers of the label `run` select a run */
  async #candidates(matchesRun: Selector['matchesRun'], pacer: Pacer): Promise<RunLogs[]> {
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
    const candidates: RunLogs[] = [];
    for (const run of [...this.#runs.values()]) {
      if (pacer.isDue) await pacer.rest();
      if (matchesRun(run)) candidates.push(run);
    }
    return candidates;
  }
}

function newReader({ limitMs = QUERY_LIMIT_MS, signal, totals }: QueryOptions): BlockReader {
  return new BlockReader(new Pacer({ limitMs, ...(signal === undefined ? {} : { signal }) }), totals);
}

class RunLogs {
  readonly #files = new Map<string, LogFile>();

  constructor(readonly folder: LogFolder) {}

  /** Files as of the last `refresh`. */
  get files(): readonly LogFile[] {
    return [...this.#files.values()];
  }

  /**
   * Indexes what was appended since the last call.
   *
   * @param sinceMs files last modified before are skipped
   * @returns the files, sorted by name
   */
  async refresh(sinceMs = Number.NEGATIVE_INFINITY): Promise<LogFile[]> {
    const paths = logFilesIn(this.folder.directory);
    for (const path of this.#files.keys()) if (!paths.includes(path)) this.#files.delete(path);
    const files: LogFile[] = [];
    for (const path of paths) {
      if (sinceMs > Number.NEGATIVE_INFINITY && modifiedMs(path) < sinceMs) continue;
      let file = this.#files.get(path);
      if (file === undefined) {
        file = new LogFile(path, this.folder);
        this.#files.set(path, file);
      }
      await file.refresh();
      files.push(file);
    }
    return files;
  }
}

function modifiedMs(path: string): number {
  try {
    return statSync(path).mtimeMs;
  } catch {
    return Number.NEGATIVE_INFINITY;
  }
}
