import { LogsError } from '../errors.js';
import { type Labels, labelsKey } from '../store/streams.js';
import type { Grouping } from './ast.js';

/** The points at which a metric query is evaluated, in ms since 1970. */
export interface TimeGrid {
  readonly startMs: number;
  /** Sub-millisecond part of the start, in ns; 0 if not given. */
  readonly startNanos?: number;
  readonly stepMs: number;
  readonly numPoints: number;
}

export interface Series {
  readonly labels: Labels;
  readonly values: Float64Array;
  /** 1 where there is a value. */
  readonly present: Uint8Array;
}

/** The result of a metric query: a scalar or a vector of series. */
export type Value = number | readonly Series[];

export const MAX_SERIES = 2_000;
/** Maximum number of values of all series together, which bounds the JSON answer. */
const MAX_VALUES = 1_000_000;

export function emptySeries(labels: Labels, { numPoints }: TimeGrid): Series {
  return { labels, values: new Float64Array(numPoints), present: new Uint8Array(numPoints) };
}

/** A map by label set that creates values on first use, up to the limits of an answer. */
export class ByLabels<T> {
  readonly #byKey = new Map<string, T>();
  readonly #most: number;

  constructor(
    private readonly make: (labels: Labels) => T,
    { numPoints }: TimeGrid,
  ) {
    this.#most = Math.min(MAX_SERIES, Math.max(1, Math.floor(MAX_VALUES / numPoints)));
  }

  /** @throws LogsError `BAD_INPUT` beyond the limits */
  get(labels: Labels): T {
    const key = labelsKey(labels);
    let value = this.#byKey.get(key);
    if (value === undefined) {
      if (this.#byKey.size >= this.#most)
        throw new LogsError(
          'BAD_INPUT',
          `maximum of series (${this.#most}) reached for a single query: aggregate by fewer labels`,
        );
      value = this.make(labels);
      this.#byKey.set(key, value);
    }
    return value;
  }

  get all(): T[] {
    return [...this.#byKey.values()];
  }
}

/** Formats labels as `{a="x", b="y"}`, sorted by name. */
export function labelsText(labels: Labels): string {
  const pairs = [...labels].sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${pairs.map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(', ')}}`;
}

/** Returns a function that selects the labels that a grouping keeps; null keeps all. */
export function projection(grouping: Grouping | null): (labels: Labels) => Labels {
  if (grouping === null) return (labels) => labels;
  const named = new Set(grouping.labels);
  return (labels) => new Map([...labels].filter(([name]) => named.has(name) !== grouping.without));
}
