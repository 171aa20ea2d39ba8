import { LogsError } from '../errors.js';
import type { Block } from '../store/block.js';
import { type BlockReader, type FileView, hasSelected } from '../store/log-reader.js';
import type { Labels } from '../store/streams.js';
import type { Grouping, RangeQuery } from './ast.js';
import { ERROR_LABEL } from './pipeline-line.js';
import { labelsText, type TimeGrid } from './series.js';

export interface RangeInput {
  readonly views: readonly FileView[];
  readonly reader: BlockReader;
  readonly grid: TimeGrid;
  /**
   * The grouping of a `sum` around the query, which is evaluated here because extracted labels would make a
   * series for each line.
   */
  readonly sumBy: Grouping | null;
}

/** Returns the blocks of a view that may have lines in a window. */
export function unreadBlocks(view: FileView, points: PointRange): Block[] {
  return view.blocks.filter(
    (block) => points.touches(block) && block.offset < view.end && hasSelected(view, block),
  );
}

/** Refuses a pipeline error, which must not silently change a result, unless the result is grouped by error. */
export function assertNoError(labels: Labels, grouping: Grouping | null): void {
  const error = labels.get(ERROR_LABEL);
  if (error === undefined) return;
  if (grouping !== null && !grouping.without && grouping.labels.includes(ERROR_LABEL)) return;
  throw new LogsError(
    'BAD_INPUT',
    `pipeline error: '${error}' for series: '${labelsText(labels).slice(0, 500)}'. Use a label filter to intentionally skip this error. (e.g | __error__!="${error}"). To skip all potential errors you can match empty errors.(e.g __error__="")`,
  );
}

const NS_PER_MS = 1e6;

/** Returns ms since the start of a grid, with ns precision, which a double with ns since 1970 would lack. */
export function sinceStart(timeMs: number, grid: TimeGrid): number {
  return timeMs - grid.startMs - (grid.startNanos ?? 0) / NS_PER_MS;
}

/** The points of a grid whose windows (point - range, point] contain a time. */
export class PointRange {
  first = 0;
  last = 0;

  constructor(
    private readonly query: RangeQuery,
    private readonly grid: TimeGrid,
  ) {}

  /** Sets `first` and `last`; `first > last` if there are none. */
  set(timeMs: number): void {
    const { stepMs, numPoints } = this.grid;
    const { rangeMs, offsetMs } = this.query;
    const sinceMs = sinceStart(timeMs, this.grid) + offsetMs;
    this.first = Math.max(0, Math.ceil(sinceMs / stepMs));
    this.last = Math.min(numPoints, Math.ceil((sinceMs + rangeMs) / stepMs)) - 1;
  }

  /** Whether all times of a block have the same points; sets `first` and `last`. */
  areSame({ minMs, maxMs }: Block): boolean {
    this.set(maxMs);
    const { first, last } = this;
    this.set(minMs);
    return first === this.first && last === this.last;
  }

  /** Whether a window overlaps the block. */
  touches({ minMs, maxMs }: Block): boolean {
    const { startMs, stepMs, numPoints } = this.grid;
    const { rangeMs, offsetMs } = this.query;
    const originMs = startMs - offsetMs;
    return maxMs + 1 > originMs - rangeMs && minMs <= originMs + (numPoints - 1) * stepMs;
  }
}
