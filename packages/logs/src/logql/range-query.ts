import { LogsError } from '../errors.js';
import type { Block } from '../store/block.js';
import type { ScannedLine } from '../store/log-file.js';
import { type BlockReader, type FileView, hasSelected, isWhole } from '../store/log-reader.js';
import { type Labels, labelsKey } from '../store/streams.js';
import type { Grouping, RangeQuery } from './ast.js';
import { compilePipeline, type Pipeline } from './pipeline.js';
import { ERROR_LABEL, PipelineLine } from './pipeline-line.js';
import { ByLabels, emptySeries, projection, type Series, type TimeGrid } from './series.js';
import { compileUnwrap } from './unwrap.js';
import { evaluateWindows, type Samples } from './windows.js';

export interface RangeInput {
  readonly views: readonly FileView[];
  readonly reader: BlockReader;
  readonly grid: TimeGrid;
  /**
   * The grouping of a `sum` around the query, evaluated here: extracted labels would make a series for each
   * line.
   */
  readonly sumBy: Grouping | null;
}

/**
 * Evaluates a range aggregation: at every point t of the grid, over the lines in (t - range, t].
 *
 * A block whose lines all lie in the same windows is answered by its counts in the index, if the pipeline
 * needs no lines.
 */
export async function evaluateRange(query: RangeQuery, input: RangeInput): Promise<Series[]> {
  const pipeline = compilePipeline(query.log.stages);
  const series =
    query.unwrap === null
      ? await countLines(query, pipeline, input)
      : await evaluateSamples(query, pipeline, input);
  if (query.op !== 'rate' && query.op !== 'bytes_rate') return series;
  const rangeS = query.rangeMs / 1000;
  for (const { values } of series) for (let i = 0; i < values.length; i++) values[i] /= rangeS;
  return series;
}

/** A difference array: adds an amount to a run of points in constant time. */
class DifferenceArray {
  readonly #changes: Float64Array;

  constructor(
    readonly labels: Labels,
    grid: TimeGrid,
  ) {
    this.#changes = new Float64Array(grid.numPoints + 1);
  }

  add(first: number, last: number, amount: number): void {
    this.#changes[first] += amount;
    this.#changes[last + 1] -= amount;
  }

  toSeries(grid: TimeGrid): Series {
    const series = emptySeries(this.labels, grid);
    let value = 0;
    for (let i = 0; i < grid.numPoints; i++) {
      value += this.#changes[i];
      series.values[i] = value;
      series.present[i] = value === 0 ? 0 : 1;
    }
    return series;
  }
}

async function countLines(query: RangeQuery, pipeline: Pipeline, input: RangeInput): Promise<Series[]> {
  const { views, reader, grid, sumBy } = input;
  const points = new PointRange(query, grid);
  const project = projection(sumBy);
  const counters = new ByLabels((labels) => new DifferenceArray(labels, grid), grid);
  const isBytes = query.op.startsWith('bytes');
  const counterOf = (labels: Labels) => {
    assertNoError(labels);
    return counters.get(project(labels));
  };

  for (const view of views) {
    const ofStream: DifferenceArray[] = [];
    const counterOfStream = (stream: ScannedLine['stream']) => {
      let counter = ofStream[stream.id];
      if (counter === undefined) {
        const line = new PipelineLine('', stream.labels);
        if (pipeline.readsNothing) pipeline.run?.(line);
        counter = counterOf(line.labels);
        ofStream[stream.id] = counter;
      }
      return counter;
    };
    const isIndexed = pipeline.readsNothing && !(isBytes && view.file.isPushed);
    for (const block of view.blocks) {
      if (!points.touches(block) || block.offset >= view.end || !hasSelected(view, block)) continue;
      if (isIndexed && isWhole(view, block) && points.areSame(block.minMs, block.maxMs)) {
        points.set(block.minMs);
        if (points.first > points.last) continue;
        for (const [id, { lines, bytes }] of block.counts) {
          const stream = view.file.streams.all[id];
          if (view.isSelected(stream))
            counterOfStream(stream).add(points.first, points.last, isBytes ? bytes : lines);
        }
        continue;
      }
      await reader.read(view, block, pipeline.test, (scanned) => {
        points.set(scanned.timeMs);
        if (points.first > points.last || !pipeline.test.passes(scanned.from, scanned.to)) return;
        let amount = isBytes ? scanned.to - scanned.from : 1;
        let counter: DifferenceArray;
        if (pipeline.run === null || pipeline.readsNothing) counter = counterOfStream(scanned.stream);
        else {
          const line = toPipelineLine(scanned);
          if (!pipeline.run(line)) return;
          if (isBytes) amount = Buffer.byteLength(line.text);
          counter = counterOf(line.labels);
        }
        counter.add(points.first, points.last, amount);
      });
    }
  }
  return counters.all.map((counter) => counter.toSeries(grid));
}

const MAX_SAMPLES = 5_000_000;

async function evaluateSamples(query: RangeQuery, pipeline: Pipeline, input: RangeInput): Promise<Series[]> {
  const { views, reader, grid, sumBy } = input;
  const points = new PointRange(query, grid);
  const project = projection(query.grouping ?? sumBy);
  const unwrap = compileUnwrap(query.unwrap!);
  const series = new ByLabels((labels): Samples => ({ labels, timesMs: [], values: [] }), grid);
  let numSamples = 0;
  for (const view of views)
    for (const block of view.blocks) {
      if (!points.touches(block) || block.offset >= view.end || !hasSelected(view, block)) continue;
      await reader.read(view, block, pipeline.test, (scanned) => {
        points.set(scanned.timeMs);
        if (points.first > points.last || !pipeline.test.passes(scanned.from, scanned.to)) return;
        const line = toPipelineLine(scanned);
        if (pipeline.run !== null && !pipeline.run(line)) return;
        const value = unwrap(line);
        if (value === null) return;
        if (++numSamples > MAX_SAMPLES)
          throw new LogsError('BAD_INPUT', `the query has more than ${MAX_SAMPLES} samples: narrow it`);
        assertNoError(line.labels);
        const samples = series.get(project(line.labels));
        samples.timesMs.push(scanned.timeMs);
        samples.values.push(value);
      });
    }
  const evaluated: Series[] = [];
  for (const samples of series.all) evaluated.push(await evaluateWindows(query, samples, grid, reader.pacer));
  return evaluated;
}

function toPipelineLine({ bytes, from, to, stream }: ScannedLine): PipelineLine {
  return new PipelineLine(bytes.toString('utf8', from, to), stream.labels);
}

/** A line with a pipeline error must not silently change a result. */
function assertNoError(labels: Labels): void {
  const error = labels.get(ERROR_LABEL);
  if (error !== undefined)
    throw new LogsError(
      'BAD_INPUT',
      `pipeline error: '${error}' for series: '${labelsKey(labels).slice(0, 500)}'. Use a label filter to intentionally skip this error. (e.g | __error__!="${error}"). To skip all potential errors you can match empty errors.(e.g __error__="")`,
    );
}

/** The points of a grid whose windows (point - range, point] contain a time. */
class PointRange {
  first = 0;
  last = 0;
  readonly #originMs: number;
  readonly #stepMs: number;
  readonly #numPoints: number;
  readonly #rangeMs: number;

  constructor({ rangeMs, offsetMs }: RangeQuery, { startMs, stepMs, numPoints }: TimeGrid) {
    this.#originMs = startMs - offsetMs;
    this.#stepMs = stepMs;
    this.#numPoints = numPoints;
    this.#rangeMs = rangeMs;
  }

  /** Sets `first` and `last`; `first > last` if there are none. */
  set(timeMs: number): void {
    const sinceMs = timeMs - this.#originMs;
    this.first = Math.max(0, Math.ceil(sinceMs / this.#stepMs));
    this.last = Math.min(this.#numPoints, Math.ceil((sinceMs + this.#rangeMs) / this.#stepMs)) - 1;
  }

  areSame(aMs: number, bMs: number): boolean {
    this.set(aMs);
    const { first, last } = this;
    this.set(bMs);
    return first === this.first && last === this.last;
  }

  /** Whether a window overlaps the block. */
  touches({ minMs, maxMs }: Block): boolean {
    const endMs = this.#originMs + (this.#numPoints - 1) * this.#stepMs;
    return maxMs > this.#originMs - this.#rangeMs && minMs <= endMs;
  }
}
