import { appendFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import { LogEngine } from '../src/logql/log-engine.js';
import { type Direction, take } from '../src/logql/log-entries.js';
import { parseLogQuery, parseQuery } from '../src/logql/parse.js';
import type { TimeGrid } from '../src/logql/series.js';
import { instantOfMs, type TimeRange } from '../src/store/instant.js';
import type { LogFolder } from '../src/store/log-catalog.js';

/** Start of the test logs, ms since 1970. */
export const T0 = 1_700_000_000_000;

export interface LineFields {
  readonly level?: string;
  /** Time since T0 in ms. */
  readonly atMs?: number;
  readonly generation?: number;
  readonly node?: number;
  readonly rank?: number;
  readonly [field: string]: unknown;
}

/** A line as the logger writes it. */
export function logLine(fields: LineFields = {}): string {
  const { level = 'info', atMs = 0, generation = 1, node, rank, msg = 'step', ...rest } = fields;
  return JSON.stringify({ level, time: T0 + atMs, run: 'r1', generation, node, rank, ...rest, msg });
}

/** Temporary run folders, removed after the test. */
export class TestRuns {
  readonly directory: string;
  readonly #runs = new Set<string>();

  constructor() {
    this.directory = mkdtempSync(path.join(tmpdir(), 'locmoe-logs-'));
    onTestFinished(() => rmSync(this.directory, { recursive: true }));
  }

  readonly catalog = { runs: (): LogFolder[] => [...this.#runs].map((run) => this.folder(run)) };

  folder(run: string): LogFolder {
    return { run, directory: path.join(this.directory, run, 'logs'), service: 'locmoe' };
  }

  file(source: string, run = 'r1'): string {
    return path.join(this.folder(run).directory, `${source}.ndjson`);
  }

  write(source: string, lines: readonly string[], run = 'r1'): void {
    this.#runs.add(run);
    mkdirSync(this.folder(run).directory, { recursive: true });
    appendFileSync(this.file(source, run), lines.map((line) => `${line}\n`).join(''));
  }
}

/** Returns a range with both ends in ms since T0. */
export function rangeOf(fromMs: number, toMs: number): TimeRange {
  return { start: instantOfMs(T0 + fromMs), end: instantOfMs(T0 + toMs) };
}

const ALL = rangeOf(-1e9, 1e12);

export interface SelectOptions {
  readonly range?: TimeRange;
  readonly direction?: Direction;
  readonly limit?: number;
}

/** The texts of the lines that a query selects. */
export async function select(
  engine: LogEngine,
  query: string,
  { range = ALL, direction = 'forward', limit = 1e6 }: SelectOptions = {},
): Promise<string[]> {
  const entries = await take(engine.lines(parseLogQuery(query), range, direction), limit);
  return entries.map(({ text }) => text);
}

/** The messages of the lines that a query selects. */
export async function messages(
  engine: LogEngine,
  query: string,
  options: SelectOptions = {},
): Promise<string[]> {
  return (await select(engine, query, options)).map((text) => JSON.parse(text).msg);
}

const OWN_LABELS = ['run', 'source', 'level', 'generation', 'service_name', 'node', 'rank', 'detected_level'];

/** The labels that a pipeline adds to one line, and the resulting text; null if the pipeline drops the line. */
export async function transform(
  line: string,
  pipeline: string,
): Promise<[Record<string, string>, string] | null> {
  const runs = new TestRuns();
  runs.write('extra', [line]);
  const engine = new LogEngine(runs.catalog);
  const query = parseLogQuery(`{run="r1"} ${pipeline}`);
  const [entry] = await take(engine.lines(query, rangeOf(-1e15, 1e15), 'forward'), 1);
  if (entry === undefined) return null;
  return [Object.fromEntries([...entry.labels].filter(([name]) => !OWN_LABELS.includes(name))), entry.text];
}

/** A grid of points, with times in seconds since T0. */
export function gridOf(startS: number, stepS: number, numPoints: number): TimeGrid {
  return { startMs: T0 + startS * 1000, stepMs: stepS * 1000, numPoints };
}

/** Values by labels (`a=1,b=2`), null where there is none. */
export type Table = Record<string, (number | null)[]>;

/** Evaluates a metric query. */
export async function evaluate(engine: LogEngine, query: string, grid: TimeGrid): Promise<Table | number> {
  const parsed = parseQuery(query);
  if (parsed.kind === 'log') throw new Error(`${query} selects lines`);
  const value = await engine.evaluate(parsed, grid);
  if (typeof value === 'number') return value;
  return Object.fromEntries(
    value.map(({ labels, values, present }) => [
      [...labels]
        .map((pair) => pair.join('='))
        .sort()
        .join(),
      Array.from(values, (each, point) => (present[point] === 1 ? each : null)),
    ]),
  );
}

/** Seeded random numbers in [0, 1). */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
