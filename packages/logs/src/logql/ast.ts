import type { Template } from './template/ast.js';

/** `name="value"` in a stream selector. Regular expressions are anchored to the whole value. */
export interface Matcher {
  readonly name: string;
  readonly op: '=' | '!=' | '=~' | '!~';
  readonly value: string;
}

/**
 * `|= "a" or ip("10.0.0.0/8")`: a line passes if it has one of the texts or addresses; negated, none of them.
 */
export interface LineFilter {
  readonly kind: 'line-filter';
  readonly op: '|=' | '!=' | '|~' | '!~' | '|>' | '!>';
  readonly texts: readonly string[];
  readonly ips: readonly string[];
}

export type Comparison = '=' | '!=' | '>' | '>=' | '<' | '<=';

export type LabelCondition =
  | { readonly kind: 'text'; readonly matcher: Matcher }
  /** Durations in s, sizes in bytes. */
  | {
      readonly kind: 'number' | 'duration' | 'bytes';
      readonly name: string;
      readonly op: Comparison;
      readonly value: number;
    }
  | { readonly kind: 'ip'; readonly name: string; readonly negated: boolean; readonly range: string }
  | { readonly kind: 'and' | 'or'; readonly left: LabelCondition; readonly right: LabelCondition };

/** `name="path"` of the json and logfmt stages. */
export interface Extraction {
  readonly name: string;
  readonly path: string;
}

/** An argument of drop and keep: a label name, or a matcher on it. */
export type LabelPick =
  | { readonly name: string; readonly matcher: null }
  | { readonly name: string; readonly matcher: Matcher };

/** `name=source` renames a label; `name="template"` sets one. */
export type LabelFormat =
  | { readonly name: string; readonly source: string; readonly template: null }
  | { readonly name: string; readonly source: null; readonly template: Template };

export type Stage =
  | LineFilter
  | { readonly kind: 'json'; readonly extractions: readonly Extraction[] }
  | {
      readonly kind: 'logfmt';
      readonly extractions: readonly Extraction[];
      readonly strict: boolean;
      readonly keepEmpty: boolean;
    }
  | { readonly kind: 'label-filter'; readonly condition: LabelCondition }
  | { readonly kind: 'drop' | 'keep'; readonly picks: readonly LabelPick[] }
  | { readonly kind: 'regexp' | 'pattern'; readonly pattern: string }
  | { readonly kind: 'unpack' | 'decolorize' }
  | { readonly kind: 'line-format'; readonly template: Template }
  | { readonly kind: 'label-format'; readonly formats: readonly LabelFormat[] };

export interface LogQuery {
  readonly kind: 'log';
  readonly matchers: readonly Matcher[];
  readonly stages: readonly Stage[];
}

export interface Grouping {
  readonly without: boolean;
  readonly labels: readonly string[];
}

export interface Unwrap {
  readonly label: string;
  readonly conversion: 'number' | 'duration' | 'bytes';
  readonly filters: readonly LabelCondition[];
}

/**
 * What a range aggregation reads: lines, unwrapped values, or both; `grouped`: values, with an optional
 * grouping.
 */
export const RANGE_OPS = {
  count_over_time: 'lines',
  bytes_over_time: 'lines',
  bytes_rate: 'lines',
  rate: 'both',
  absent_over_time: 'both',
  sum_over_time: 'values',
  rate_counter: 'values',
  avg_over_time: 'grouped',
  min_over_time: 'grouped',
  max_over_time: 'grouped',
  first_over_time: 'grouped',
  last_over_time: 'grouped',
  stddev_over_time: 'grouped',
  stdvar_over_time: 'grouped',
  quantile_over_time: 'grouped',
} as const;
export const AGGREGATIONS = [
  ...(['sum', 'avg', 'min', 'max', 'count', 'stddev', 'stdvar'] as const),
  ...(['topk', 'bottomk', 'sort', 'sort_desc'] as const),
] as const;

export type RangeOp = keyof typeof RANGE_OPS;
export type AggregationOp = (typeof AGGREGATIONS)[number];

/** A range aggregation, over the lines in (t - range, t]. */
export interface RangeQuery {
  readonly kind: 'range';
  readonly op: RangeOp;
  /** The quantile of quantile_over_time. */
  readonly parameter: number;
  readonly log: LogQuery;
  readonly unwrap: Unwrap | null;
  readonly rangeMs: number;
  readonly offsetMs: number;
  readonly grouping: Grouping | null;
}

export const COMPARISONS = ['==', '!=', '>', '>=', '<', '<='] as const;
export const SET_OPS = ['and', 'or', 'unless'] as const;
export type BinaryOp =
  | '+'
  | '-'
  | '*'
  | '/'
  | '%'
  | '^'
  | (typeof COMPARISONS)[number]
  | (typeof SET_OPS)[number];

/** Rule that pairs series of two vectors: equal on these labels, or equal on all others. */
export interface Matching {
  readonly on: boolean;
  readonly labels: readonly string[];
  /** The side on which several series may match one of the other side; its labels are kept. */
  readonly many: 'left' | 'right' | null;
  /** Labels that the result takes from the other side. */
  readonly include: readonly string[];
}

export type MetricQuery =
  | RangeQuery
  | {
      readonly kind: 'aggregate';
      readonly op: AggregationOp;
      readonly parameter: number;
      readonly grouping: Grouping | null;
      readonly inner: MetricQuery;
    }
  | {
      readonly kind: 'binary';
      readonly op: BinaryOp;
      /** Whether a comparison returns 0 or 1 instead of filtering. */
      readonly bool: boolean;
      readonly matching: Matching;
      readonly left: MetricQuery;
      readonly right: MetricQuery;
    }
  | {
      readonly kind: 'label-replace';
      readonly inner: MetricQuery;
      readonly target: string;
      /** Replacement, with `$1` for groups. */
      readonly replacement: string;
      readonly source: string;
      readonly pattern: string;
    }
  | { readonly kind: 'vector'; readonly value: number }
  | { readonly kind: 'number'; readonly value: number };

export type Query = LogQuery | MetricQuery;
