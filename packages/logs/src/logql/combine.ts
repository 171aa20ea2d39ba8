import { type Labels, labelsKey } from '../store/streams.js';
import type { Matching } from './ast.js';
import type { Series } from './series.js';

/** Null where a comparison filters the value out. */
export type Combine = (a: number, b: number) => number | null;

export function put(series: Series, point: number, value: number | null): void {
  if (value === null) return;
  series.values[point] = value;
  series.present[point] = 1;
}

export function hasValues({ present }: Series): boolean {
  return present.includes(1);
}

/** The labels by which series of two sides are matched. */
export function matchingLabels({ on, labels }: Matching): (labels: Labels) => Labels {
  const named = new Set(labels);
  return (all) => new Map([...all].filter(([name]) => named.has(name) === on));
}

/** A key of these labels. */
export function matchingKey(matching: Matching): (series: Series) => string {
  const project = matchingLabels(matching);
  return ({ labels }) => labelsKey(project(labels));
}
