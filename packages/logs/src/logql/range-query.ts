import { LogsError } from '../errors.js';
import type { Grouping, LogQuery, RangeQuery, Unwrap } from './ast.js';
import { countLines } from './count-lines.js';
import { compileCondition, labelParser } from './label-test.js';
import { toPipelineLine } from './log-entries.js';
import { compilePipeline, type Pipeline } from './pipeline.js';
import type { PipelineLine } from './pipeline-line.js';
import { assertNoError, PointRange, type RangeInput, sinceStart, unreadBlocks } from './range-input.js';
import { RegexGroup } from './regex.js';
import { ByLabels, emptySeries, projection, type Series } from './series.js';
import { evaluateWindows, type Samples } from './windows.js';

const NO_LABELS: Grouping = { without: false, labels: [] };

/** Evaluates a range aggregation: at every point t of the grid, over the lines in (t - range, t]. */
export async function evaluateRange(query: RangeQuery, input: RangeInput): Promise<Series[]> {
  const pipeline = compilePipeline(query.log.stages);
  if (query.op === 'absent_over_time') return evaluateAbsence(query, pipeline, input);
  const series = await seriesOf(query, pipeline, input);
  if (query.op !== 'rate' && query.op !== 'bytes_rate') return series;
  const rangeS = query.rangeMs / 1000;
  for (const { values } of series) for (let i = 0; i < values.length; i++) values[i]! /= rangeS;
  return series;
}

function seriesOf(query: RangeQuery, pipeline: Pipeline, input: RangeInput): Promise<Series[]> {
  return query.unwrap === null ? countLines(query, pipeline, input) : evaluateSamples(query, pipeline, input);
}

const MAX_SAMPLES = 5_000_000;

async function evaluateSamples(query: RangeQuery, pipeline: Pipeline, input: RangeInput): Promise<Series[]> {
  const { views, reader, grid, sumBy } = input;
  const points = new PointRange(query, grid);
  const grouping = query.grouping ?? sumBy;
  const project = projection(grouping);
  const unwrap = compileUnwrap(query.unwrap!);
  const series = new ByLabels((labels): Samples => ({ labels, timesMs: [], values: [] }), grid);
  let numSamples = 0;
  for (const view of views)
    for (const block of unreadBlocks(view, points))
      await reader.read(view, block, pipeline.test, (scanned) => {
        points.set(scanned.timeMs);
        if (points.first > points.last || !pipeline.test.passes(scanned.from, scanned.to)) return;
        const line = toPipelineLine(scanned);
        if (pipeline.run !== null && !pipeline.run(line)) return;
        const value = unwrap(line);
        if (value === null) return;
        if (++numSamples > MAX_SAMPLES)
          throw new LogsError('BAD_INPUT', `the query has more than ${MAX_SAMPLES} samples: narrow it`);
        assertNoError(line.labels, grouping);
        const samples = series.get(project(line.labels));
        samples.timesMs.push(sinceStart(scanned.timeMs, grid));
        samples.values.push(value);
      });
  const evaluated: Series[] = [];
  for (const samples of series.all) evaluated.push(await evaluateWindows(query, samples, grid, reader.pacer));
  return evaluated;
}

/** Evaluates to 1 wherever no line or sample is in the window. */
async function evaluateAbsence(query: RangeQuery, pipeline: Pipeline, input: RangeInput): Promise<Series[]> {
  const [found] = await seriesOf(query, pipeline, { ...input, sumBy: NO_LABELS });
  const absent = emptySeries(selectedLabels(query.log), input.grid);
  absent.values.fill(1);
  for (let point = 0; point < input.grid.numPoints; point++)
    absent.present[point] = found?.present[point] === 1 ? 0 : 1;
  return absent.present.includes(1) ? [absent] : [];
}

/** Returns the labels whose values the selector of a log query fixes. */
function selectedLabels({ matchers }: LogQuery): Map<string, string> {
  const labels = new Map<string, string>();
  for (const { name, op, value } of matchers)
    if (op === '=' && matchers.filter((other) => other.name === name).length === 1) labels.set(name, value);
  return labels;
}

/**
 * Unwraps a label: its value becomes the sample, and the label is removed. As in Loki, a line without the
 * label has no sample, and a value that cannot be parsed sets an error.
 *
 * @returns a function that returns null if a line has no sample or fails the filters after `unwrap`
 */
function compileUnwrap({ label, conversion, filters }: Unwrap): (line: PipelineLine) => number | null {
  const parse = labelParser(conversion);
  const regexes = new RegexGroup();
  const conditions = filters.map((filter) => compileCondition(filter, regexes));
  return (line) => {
    const text = line.labels.get(label) ?? '';
    if (text === '') return null;
    const value = parse(text);
    if (value === null)
      line.fail('SampleExtractionErr', `${label}: ${text.slice(0, 100)} is not a ${conversion}`);
    if (!conditions.every((condition) => condition(line))) return null;
    line.delete(label);
    return value ?? 0;
  };
}
