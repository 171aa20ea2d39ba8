import { LogsError } from './errors.js';
import { LOG_LEVELS, type LogLevel } from './levels.js';
import type { LogQuery, Matcher, MetricQuery, Query } from './logql/ast.js';
import { ContextGrep } from './logql/context.js';
import { Follower } from './logql/follower.js';
import { compileMatchers } from './logql/label-test.js';
import { LogEngine } from './logql/log-engine.js';
import type { LogEntry } from './logql/log-entries.js';
import { parseQuery } from './logql/parse.js';
import { compilePipeline } from './logql/pipeline.js';
import { PipelineLine } from './logql/pipeline-line.js';
import type { Series, TimeGrid } from './logql/series.js';
import { instantOfMs, type TimeRange } from './store/instant.js';
import type { LogFolder } from './store/log-catalog.js';
import type { FileView } from './store/log-reader.js';
import { Pacer } from './store/pacer.js';

export interface LogRequest {
  /** Query in LogQL, which applies to the whole run if it has no stream selector; empty for all lines. */
  readonly query: string;
  /** Minimum level; empty for all lines. */
  readonly level: string;
  /** Ranks whose lines are read; empty for all lines, including those without a rank. */
  readonly ranks: readonly number[];
  /** Start of the range, in ms since 1970. */
  readonly sinceMs: number;
  /** Context: lines of the same source before and after each match. */
  readonly before: number;
  readonly after: number;
  readonly follow: boolean;
}

export interface ResultLine {
  readonly text: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly timeMs: number;
  /** Whether the line is context of a match. */
  readonly isContext: boolean;
  /** Group of the context (`ContextLine.group`); 0 without context. */
  readonly group: number;
}

interface ResultSeries {
  readonly grid: TimeGrid;
  readonly series: readonly Series[];
}

interface LogEnd {
  /** Aborted when the reader has disconnected. */
  readonly signal: AbortSignal;
  /** Resolves when nothing more will be written: `follow` then reads the rest and ends. */
  readonly complete: Promise<void>;
}

export interface LogListener {
  /** Back pressure: the next batch waits for the promise. */
  lines(lines: readonly ResultLine[]): Promise<void>;
  series(result: ResultSeries): void;
}

/** Grid points of a metric query. */
const NUM_POINTS = 60;
const MIN_STEP_MS = 1_000;
/** The context of the first match goes back this far. */
const CONTEXT_LEAD_MS = 600_000;
const END = instantOfMs(Number.MAX_SAFE_INTEGER);

/** Runs LogQL queries over the log of one run, live or over. */
export class RunLogReader {
  readonly #engine: LogEngine;

  constructor(private readonly folder: LogFolder) {
    this.#engine = new LogEngine({ runs: () => [folder] });
  }

  /**
   * Passes lines in time order, or the series of a metric query, to the listener. With `follow`, it continues
   * until `end`.
   *
   * @throws LogsError `BAD_INPUT` for an invalid query or level
   */
  async read(request: LogRequest, listener: LogListener, end: LogEnd): Promise<void> {
    const matchers = this.#matchers(request);
    const query = narrow(parseRunQuery(request.query, this.folder.run), matchers);
    if (query.kind === 'log') await this.#readLines(query, request, listener, end);
    else await this.#readSeries(query, request, listener, end);
  }

  #matchers({ level, ranks }: LogRequest): Matcher[] {
    const matchers: Matcher[] = [{ name: 'run', op: '=', value: this.folder.run }];
    const least = LOG_LEVELS.indexOf((level || LOG_LEVELS[0]) as LogLevel);
    if (least < 0) throw new LogsError('BAD_INPUT', `level: ${level} is none of ${LOG_LEVELS.join(', ')}`);
    if (least > 0) matchers.push({ name: 'level', op: '=~', value: LOG_LEVELS.slice(least).join('|') });
    if (ranks.length > 0) matchers.push({ name: 'rank', op: '=~', value: ranks.join('|') });
    return matchers;
  }

  async #readLines(query: LogQuery, request: LogRequest, listener: LogListener, end: LogEnd): Promise<void> {
    const { before, after, sinceMs } = request;
    if (before > 0 || after > 0) return this.#readWithContext(query, request, listener, end);
    const views = await this.#engine.open(query.matchers, sinceMs);
    const range: TimeRange = { start: instantOfMs(sinceMs), end: END };
    for await (const batch of this.#engine.linesOf(views, query, range, 'forward', optionsOf(end)))
      await listener.lines(batch.map((entry) => toResultLine(entry, false, 0)));
    if (request.follow)
      await this.#follow(query, views, end, (entries) =>
        listener.lines(
          entries.filter(({ timeMs }) => timeMs >= sinceMs).map((entry) => toResultLine(entry, false, 0)),
        ),
      );
  }

  async #readWithContext(
    query: LogQuery,
    { before, after, sinceMs, follow }: LogRequest,
    listener: LogListener,
    end: LogEnd,
  ): Promise<void> {
    const everything: LogQuery = {
      kind: 'log',
      matchers: [{ name: 'run', op: '=', value: this.folder.run }],
      stages: [],
    };
    const match = matcherOf(query);
    let ready: ResultLine[] = [];
    const grep = new ContextGrep({
      before,
      after,
      match: (entry) => (entry.timeMs < sinceMs ? null : match(entry)),
      emit: (lines) => {
        for (const { entry, isMatch, group } of lines) ready.push(toResultLine(entry, !isMatch, group));
      },
    });
    const flush = async () => {
      const lines = ready;
      ready = [];
      if (lines.length > 0) await listener.lines(lines);
    };
    const pacer = new Pacer();
    const feed = async (entries: readonly LogEntry[]) => {
      for (const entry of entries) {
        if (pacer.isDue) await pacer.rest();
        grep.feed(entry);
      }
    };
    const views = await this.#engine.open(everything.matchers, sinceMs - CONTEXT_LEAD_MS);
    const range: TimeRange = { start: instantOfMs(Math.max(0, sinceMs - CONTEXT_LEAD_MS)), end: END };
    for await (const batch of this.#engine.linesOf(views, everything, range, 'forward', optionsOf(end))) {
      await feed(batch);
      await flush();
    }
    grep.live();
    await flush();
    if (follow)
      await this.#follow(everything, views, end, async (entries) => {
        await feed(entries);
        await flush();
      });
  }

  #follow(
    query: LogQuery,
    seen: readonly FileView[],
    { signal, complete }: LogEnd,
    receive: (entries: readonly LogEntry[]) => Promise<void>,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return resolve();
      const follower = new Follower(this.#engine, query, seen, { lines: receive, failed: reject });
      void complete.then(() => (signal.aborted ? undefined : follower.finish())).then(resolve, reject);
      signal.addEventListener('abort', () => {
        follower.close();
        resolve();
      });
    });
  }

  async #readSeries(
    query: MetricQuery,
    { sinceMs, follow }: LogRequest,
    listener: LogListener,
    end: LogEnd,
  ): Promise<void> {
    if (follow) throw new LogsError('BAD_INPUT', 'a query that computes numbers cannot be followed');
    const views = await this.#engine.open([{ name: 'run', op: '=', value: this.folder.run }], sinceMs);
    const blocks = views.flatMap((view) => view.blocks).filter(({ maxMs }) => maxMs >= sinceMs);
    const firstMs = blocks.reduce((least, { minMs }) => Math.min(least, minMs), Date.now());
    const endMs = blocks.reduce((most, { maxMs }) => Math.max(most, maxMs), firstMs);
    const startMs = Math.max(firstMs, sinceMs);
    const stepMs = Math.max(MIN_STEP_MS, Math.ceil((endMs - startMs) / NUM_POINTS));
    // The last point is at the last line, so that a range as long as the run covers all of it.
    const numPoints = Math.floor((endMs - startMs) / stepMs) + 1;
    const grid = { startMs: endMs - (numPoints - 1) * stepMs, stepMs, numPoints };
    const value = await this.#engine.evaluate(query, grid, { signal: end.signal });
    const values = new Float64Array(numPoints).fill(typeof value === 'number' ? value : 0);
    const series =
      typeof value === 'number'
        ? [{ labels: new Map<string, string>(), values, present: new Uint8Array(numPoints).fill(1) }]
        : value;
    listener.series({ grid, series });
  }
}

/** Returns options without a time limit: a slow reader may read a long log to its end. */
function optionsOf({ signal }: LogEnd): { limitMs: number; signal: AbortSignal } {
  return { limitMs: Number.POSITIVE_INFINITY, signal };
}

/** Parses a query that may lack a selector; positions in errors refer to the query as it was written. */
function parseRunQuery(query: string, run: string): Query {
  if (!/^\s*($|[|!])/.test(query)) return parseQuery(query);
  const selector = `{run=${JSON.stringify(run)}} `;
  try {
    return parseQuery(selector + query);
  } catch (error) {
    if (!(error instanceof LogsError)) throw error;
    const column = (text: string) => String(Number(text) - selector.length);
    throw new LogsError(error.code, error.message.replace(/(?<=^parse error at line 1, col )\d+/, column));
  }
}

function toResultLine({ text, labels, timeMs }: LogEntry, isContext: boolean, group: number): ResultLine {
  return { text, labels: Object.fromEntries(labels), timeMs, isContext, group };
}

/** Returns a function that applies a query to an entry; null if the entry does not match. */
function matcherOf({ matchers, stages }: LogQuery): (entry: LogEntry) => LogEntry | null {
  const isSelected = compileMatchers(matchers);
  const { test, run } = compilePipeline(stages);
  return (entry) => {
    if (!isSelected(entry.labels)) return null;
    const bytes = Buffer.from(entry.text);
    test.begin(bytes);
    if (!test.passes(0, bytes.length)) return null;
    const line = new PipelineLine(entry.text, entry.labels);
    if (run !== null && !run(line)) return null;
    return { ...entry, text: line.text, labels: line.labels, parsed: line.parsed };
  };
}

/** Adds matchers to every stream selector of a query. */
function narrow<Q extends Query>(query: Q, matchers: readonly Matcher[]): Q;
function narrow(query: Query, matchers: readonly Matcher[]): Query {
  return query.kind === 'log'
    ? { ...query, matchers: [...query.matchers, ...matchers] }
    : narrowMetric(query, matchers);
}

function narrowMetric(query: MetricQuery, matchers: readonly Matcher[]): MetricQuery {
  if (query.kind === 'range') return { ...query, log: narrow(query.log, matchers) };
  if ('inner' in query) return { ...query, inner: narrowMetric(query.inner, matchers) };
  if (query.kind !== 'binary') return query;
  const [left, right] = [narrowMetric(query.left, matchers), narrowMetric(query.right, matchers)];
  return { ...query, left, right };
}
