/** `name="value"` in a stream selector. Regular expressions are anchored to the whole value. */
export interface Matcher {
  readonly name: string;
  readonly op: '=' | '!=' | '=~' | '!~';
  readonly value: string;
}

/** `|= "a" or "b"`: a line passes if it contains one of the texts or, negated, none of them. */
export interface LineFilter {
  readonly kind: 'line-filter';
  readonly op: '|=' | '!=' | '|~' | '!~';
  readonly texts: readonly string[];
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
  /** Literal texts and label names alternate, with a text first and last. */
  | { readonly kind: 'line-format'; readonly parts: readonly string[] };

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

export const LINE_RANGE_OPS = ['count_over_time', 'rate', 'bytes_over_time', 'bytes_rate'] as const;
export const UNWRAP_RANGE_OPS = [
  'rate',
  'sum_over_time',
  'avg_over_time',
  'min_over_time',
  'max_over_time',
  'quantile_over_time',
] as const;
export const AGGREGATIONS = ['sum', 'avg', 'min', 'max', 'count', 'topk', 'bottomk'] as const;

export type RangeOp = (typeof LINE_RANGE_OPS)[number] | (typeof UNWRAP_RANGE_OPS)[number];
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

export const ARITHMETIC = ['+', '-', '*', '/', '%', '^'] as const;
export const COMPARISONS = ['==', '!=', '>', '>=', '<', '<='] as const;
export const SET_OPS = ['and', 'or', 'unless'] as const;
export type BinaryOp = (typeof ARITHMETIC)[number] | (typeof COMPARISONS)[number] | (typeof SET_OPS)[number];

export type MetricQuery =
  | RangeQuery
  | {
      readonly kind: 'aggregate';
      readonly op: AggregationOp;
      /** k of topk and bottomk. */
      readonly parameter: number;
      readonly grouping: Grouping | null;
      readonly inner: MetricQuery;
    }
  | {
      readonly kind: 'binary';
      readonly op: BinaryOp;
      /** A comparison returns 0 or 1 instead of filtering. */
      readonly bool: boolean;
      /** Vector matching: on these labels, or ignoring them. */
      readonly matching: { readonly on: boolean; readonly labels: readonly string[] };
      readonly left: MetricQuery;
      readonly right: MetricQuery;
    }
  | { readonly kind: 'vector'; readonly value: number }
  | { readonly kind: 'number'; readonly value: number };

export type Query = LogQuery | MetricQuery;
