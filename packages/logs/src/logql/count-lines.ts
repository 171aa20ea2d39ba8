import { isWhole } from '../store/log-reader.js';
import type { Labels, LogStream } from '../store/streams.js';
import type { RangeQuery } from './ast.js';
import { entryLabels } from './detected-level.js';
import { toPipelineLine } from './log-entries.js';
import type { Pipeline } from './pipeline.js';
import { PipelineLine } from './pipeline-line.js';
import { assertNoError, PointRange, type RangeInput, unreadBlocks } from './range-input.js';
import { ByLabels, emptySeries, projection, type Series, type TimeGrid } from './series.js';

/** Difference arrays: adds a line to a run of points in constant time. */
class Counter {
  readonly #lines: Float64Array;
  /** The counted amounts; the same array as `#lines` if lines are counted. */
  readonly #amounts: Float64Array;

  constructor(
    private readonly labels: Labels,
    { numPoints }: TimeGrid,
    isBytes: boolean,
  ) {
    this.#lines = new Float64Array(numPoints + 1);
    this.#amounts = isBytes ? new Float64Array(numPoints + 1) : this.#lines;
  }

  add({ first, last }: PointRange, lines: number, bytes: number): void {
    this.#lines[first]! += lines;
    this.#lines[last + 1]! -= lines;
    if (this.#amounts === this.#lines) return;
    this.#amounts[first]! += bytes;
    this.#amounts[last + 1]! -= bytes;
  }

  toSeries(grid: TimeGrid): Series {
    const series = emptySeries(this.labels, grid);
    let lines = 0;
    let amount = 0;
    for (let i = 0; i < grid.numPoints; i++) {
      lines += this.#lines[i]!;
      amount += this.#amounts[i]!;
      series.values[i] = amount;
      series.present[i] = lines === 0 ? 0 : 1;
    }
    return series;
  }
}

/**
 * Counts the lines in the windows of a grid, or their bytes.
 *
 * A block whose lines all lie in the same windows is answered by its counts in the index, if neither the
 * pipeline nor the labels of the result need its lines.
 */
export async function countLines(
  query: RangeQuery,
  pipeline: Pipeline,
  input: RangeInput,
): Promise<Series[]> {
  const { views, reader, grid, sumBy } = input;
  const points = new PointRange(query, grid);
  const project = projection(sumBy);
  const isBytes = query.op.startsWith('bytes');
  const counters = new ByLabels((labels) => new Counter(labels, grid, isBytes), grid);
  const counterOf = (labels: Labels) => {
    assertNoError(labels, sumBy);
    return counters.get(project(labels));
  };

  for (const view of views) {
    const ofStream: Counter[] = [];
    const counterOfStream = (stream: LogStream) => {
      let counter = ofStream[stream.id];
      if (counter === undefined) {
        const line = new PipelineLine('', entryLabels(stream));
        if (pipeline.readsNothing) pipeline.run?.(line);
        counter = counterOf(line.labels);
        ofStream[stream.id] = counter;
      }
      return counter;
    };
    for (const block of unreadBlocks(view, points)) {
      if (pipeline.readsNothing && isWhole(view, block) && points.areSame(block)) {
        if (points.first > points.last) continue;
        for (const [id, { lines, bytes }] of block.counts) {
          const stream = view.file.streams.all[id]!;
          if (view.isSelected(stream)) counterOfStream(stream).add(points, lines, bytes);
        }
        continue;
      }
      await reader.read(view, block, pipeline.test, (scanned) => {
        points.set(scanned.timeMs);
        const { from, to, stream } = scanned;
        if (points.first > points.last || !pipeline.test.passes(from, to)) return;
        if (pipeline.run === null || pipeline.readsNothing) {
          counterOfStream(stream).add(points, 1, to - from);
          return;
        }
        const line = toPipelineLine(scanned);
        if (pipeline.run !== null && !pipeline.run(line)) return;
        counterOf(line.labels).add(points, 1, isBytes ? Buffer.byteLength(line.text) : 0);
      });
    }
  }
  return counters.all.map((counter) => counter.toSeries(grid));
}
