import type { StepRoutes } from '../api-routes.js';
import type { CompactColumns, CompactRoutes } from './route-columns.js';

/** Consecutive rows of one layer and sequence. */
export interface RowRange {
  readonly layer: number;
  readonly begin: number;
  readonly end: number;
}

/** Choices of a step, indexed by sequence. */
export interface StepIndex {
  readonly step: number;
  readonly problems: readonly string[];
  readonly columns: CompactColumns;
  readonly length: number;
  readonly domains: readonly string[];
  readonly layers: readonly number[];
  readonly rangesOf: ReadonlyMap<number, readonly RowRange[]>;
  /** The reply about the whole step, once it was requested. */
  summary?: StepRoutes;
}

/** @param problems why files were left out */
export function indexStep(step: number, routes: CompactRoutes, problems: readonly string[]): StepIndex {
  const columns = routes.take();
  const { layer, sequence } = columns;
  const ranges = new Map<number, RowRange[]>();
  const layers = new Set<number>();
  for (let begin = 0; begin < routes.length; ) {
    let end = begin + 1;
    while (end < routes.length && layer[end] === layer[begin] && sequence[end] === sequence[begin]) end++;
    const own = ranges.get(sequence[begin]!) ?? [];
    own.push({ layer: layer[begin]!, begin, end });
    ranges.set(sequence[begin]!, own);
    layers.add(layer[begin]!);
    begin = end;
  }
  const ascending = [...ranges.entries()].sort(([a], [b]) => a - b);
  return {
    step,
    problems,
    columns,
    length: routes.length,
    domains: routes.domains,
    layers: [...layers].sort((a, b) => a - b),
    rangesOf: new Map(ascending),
  };
}
