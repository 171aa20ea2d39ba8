import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { LogsError } from '../../src/errors.js';
import type { MetricQuery, Stage } from '../../src/logql/ast.js';
import { LogEngine } from '../../src/logql/log-engine.js';
import { parseQuery } from '../../src/logql/parse.js';
import { labelsText, type Series, type Value } from '../../src/logql/series.js';
import { keepPushed } from '../../src/loki/push.js';
import type { LogFolder } from '../../src/store/log-catalog.js';
import { type Evaluation, type Expected, type ExpectedSeries, parseScript } from './logql-script.js';

const EXTENSION = '.logqltest';
const TOLERANCE = 1e-9;
/** The scripts do without the label that every line has. */
const DROP_LEVEL: Stage = { kind: 'drop', picks: [{ name: 'detected_level', matcher: null }] };

/** Counts of evaluations. */
export interface Tally {
  right: number;
  refusedByName: number;
  wrong: number;
  /** Of those that are right, the ones that must fail, and do. */
  failed: number;
  /** Not tried. */
  withMetadata: number;
}

/**
 * Runs the evaluations of Loki's own test scripts, and says on standard error what is wrong. The scripts are under Loki's
 * licence, so that they are not here: the caller has them.
 *
 * @param directory folder of the scripts
 * @param folder for their logs
 * @throws Error if there is none
 */
export async function runScripts(directory: string, folder: string): Promise<Tally & { numScripts: number }> {
  const files = readdirSync(directory).filter((name) => name.endsWith(EXTENSION));
  if (files.length === 0) throw new Error(`--loki-scripts ${directory}: no *${EXTENSION} there`);
  const tally: Tally = { right: 0, refusedByName: 0, wrong: 0, failed: 0, withMetadata: 0 };
  for (const file of files.sort())
    await runScript(path.join(directory, file), path.join(folder, file), tally);
  return { ...tally, numScripts: files.length };
}

async function runScript(file: string, folder: string, tally: Tally): Promise<void> {
  let scenario = new Scenario(folder, 0);
  for (const [index, command] of parseScript(path.basename(file), readFileSync(file, 'utf8')).entries()) {
    if (command.kind === 'clear') scenario = new Scenario(folder, index);
    else if (command.kind === 'load') {
      await keepPushed(scenario.engine, new Map([[scenario.logs, command.lines]]));
      scenario.hasMetadata ||= command.hasMetadata;
    } else if (scenario.hasMetadata) tally.withMetadata++;
    else {
      const verdict = await judge(scenario.engine, command);
      tally[verdict]++;
      if (verdict === 'right' && command.expected.kind === 'failure') tally.failed++;
    }
  }
}

/** Lines that are loaded together, and what reads them. */
class Scenario {
  readonly logs: LogFolder;
  readonly engine: LogEngine;
  hasMetadata = false;

  constructor(folder: string, index: number) {
    this.logs = { run: 'script', directory: path.join(folder, String(index)), service: 'script' };
    this.engine = new LogEngine({ runs: () => [this.logs] });
  }
}

async function judge(
  engine: LogEngine,
  { place, query, grid, expected }: Evaluation,
): Promise<'right' | 'refusedByName' | 'wrong'> {
  let got: string;
  try {
    const value = await engine.evaluate(parseMetric(query), grid);
    if (isExpected(value, expected)) return 'right';
    got = textOf(value);
  } catch (error) {
    if (error instanceof LogsError && expected.kind === 'failure') return 'right';
    if (error instanceof LogsError && error.message.includes('is not supported')) return 'refusedByName';
    got = String(error);
  }
  console.error(`${place}: ${query}: got ${got}`);
  return 'wrong';
}

function parseMetric(text: string): MetricQuery {
  const query = parseQuery(text);
  if (query.kind === 'log') throw new LogsError('BAD_INPUT', 'a query of lines has no values');
  return withoutLevel(query);
}

function withoutLevel(query: MetricQuery): MetricQuery {
  switch (query.kind) {
    case 'range':
      return { ...query, log: { ...query.log, stages: [DROP_LEVEL, ...query.log.stages] } };
    case 'binary':
      return { ...query, left: withoutLevel(query.left), right: withoutLevel(query.right) };
    case 'aggregate':
    case 'label-replace':
      return { ...query, inner: withoutLevel(query.inner) };
    default:
      return query;
  }
}

function isExpected(value: Value, expected: Expected): boolean {
  if (expected.kind === 'failure') return false;
  if (expected.kind === 'number') return typeof value === 'number' && isClose(value, expected.value);
  const { series, isOrdered } = expected;
  if (typeof value === 'number' || value.length !== series.length) return false;
  const inOrder = <T extends { readonly labels: ReadonlyMap<string, string> }>(all: readonly T[]) =>
    isOrdered ? all : [...all].sort((a, b) => (labelsText(a.labels) < labelsText(b.labels) ? -1 : 1));
  const sorted = inOrder(value);
  return inOrder(series).every((each, i) => isSame(sorted[i]!, each));
}

function isSame({ labels, values, present }: Series, expected: ExpectedSeries): boolean {
  return (
    labelsText(labels) === labelsText(expected.labels) &&
    values.length === expected.values.length &&
    expected.values.every((value, i) =>
      present[i] === 1 ? value !== null && isClose(values[i]!, value) : value === null,
    )
  );
}

function isClose(a: number, b: number): boolean {
  if (!Number.isFinite(a) || !Number.isFinite(b)) return Object.is(a, b);
  return Math.abs(a - b) <= TOLERANCE * Math.max(1, Math.abs(a), Math.abs(b));
}

function textOf(value: Value): string {
  if (typeof value === 'number') return String(value);
  return value
    .map(({ labels, values, present }) => {
      const shown = Array.from(values, (each, i) => (present[i] === 1 ? each : '_'));
      return `${labelsText(labels)} ${shown.join(' ')}`;
    })
    .join('; ');
}
