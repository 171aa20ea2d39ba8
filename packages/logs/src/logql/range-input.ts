import { LogsError } from '../errors.js';
import type { Block } from '../store/block.js';
import { type BlockReader, type FileView, hasSelected } from '../store/log-reader.js';
import type { Labels } from '../store/streams.js';
import type { Grouping } from './ast.js';
import { ERROR_LABEL } from './pipeline-line.js';
import type { PointRange } from './point-range.js';
import { labelsText, type TimeGrid } from './series.js';

/** Input of a range aggregation. */
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

/** The blocks of a view that may have lines in a window. */
export function unreadBlocks(view: FileView, points: PointRange): Block[] {
  return view.blocks.filter(
    (block) => points.touches(block) && block.offset < view.end && hasSelected(view, block),
  );
}

/** A line with a pipeline error must not silently change a result, unless the result is grouped by errors. */
export function assertNoError(labels: Labels, grouping: Grouping | null): void {
  const error = labels.get(ERROR_LABEL);
  if (error === undefined) return;
  if (grouping !== null && !grouping.without && grouping.labels.includes(ERROR_LABEL)) return;
  throw new LogsError(
    'BAD_INPUT',
    `pipeline error: '${error}' for series: '${labelsText(labels).slice(0, 500)}'. Use a label filter to intentionally skip this error. (e.g | __error__!="${error}"). To skip all potential errors you can match empty errors.(e.g __error__="")`,
  );
}
