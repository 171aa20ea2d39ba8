import { STEP_PARTS } from '@locmoe/run-format';
import type { Columns, MetricsGroup } from './api-types.js';
import { bucketsOf, downsample, meansOf, rowsOfMaxima } from './downsample.js';
import { memoryColumns } from './memory-columns.js';
import { PLACE_COLUMNS, ROUTING_COLUMNS, routingColumns, SCALARS } from './metric-columns.js';
import { type ColumnSource, jsonNumbers, pick } from './number-table.js';
import type { RunMetrics } from './run-metrics.js';

/** A chart of stacked averages gets a bucket for this many points, as it needs no more rows than it has pixels. */
const POINTS_PER_AVERAGE = 3;
/** Maximum number of memory lines whose extremes survive downsampling. */
const MAX_LEADING = 8;
/** Columns that belong to no other group. */
const RATES = SCALARS.filter((name) => !['loss', 'stepMs', 'gradientNorm'].includes(name));

type Rows = readonly [from: number, to: number];

export interface GroupsQuery {
  /** Layer of the group `routing`: a number, or `all`. */
  readonly layer: string;
  /** Columns of steps, and of the layer. */
  readonly ofLayer: ColumnSource;
  readonly steps: Rows;
  /** Rows of the memory. */
  readonly beats: Rows;
  readonly maxPoints: number;
}

/** Returns the groups of a reply, downsampled to about `maxPoints` rows each. */
export function metricGroups(
  { steps, memory }: RunMetrics,
  query: GroupsQuery,
): Readonly<Record<MetricsGroup, Columns>> {
  const column: ColumnSource = (name) => steps.column(name);
  const extremes = (leading: readonly string[], names: readonly string[], of = column) =>
    extremesOf(of, leading, ['step', 'time', ...names], query.steps, query.maxPoints);
  const ofLayer = routingColumns(query.layer);
  const routing = ROUTING_COLUMNS.map((name) => ofLayer[name]);
  const places = PLACE_COLUMNS.map((name) => ofLayer[name]);
  const ranks = memoryColumns(memory);
  const leadingRanks = ranks.filter((name) => name !== 'mostRank').slice(0, MAX_LEADING);
  return {
    loss: extremes(['loss'], ['tokens', 'loss']),
    rates: extremes(['auxiliaryLoss'], RATES),
    speed: extremes(['stepMs'], ['stepMs', 'tokensPerS']),
    parts: averagesOf(column, STEP_PARTS, query),
    gradient: extremes(['gradientNorm'], ['gradientNorm']),
    routing: unprefixed(extremes([ofLayer.otherNode, ofLayer.dropped], routing, query.ofLayer)),
    places: unprefixed(averagesOf(query.ofLayer, places, query)),
    memory: extremesOf(
      (name) => memory.column(name),
      leadingRanks.length === 0 ? ['time'] : leadingRanks,
      ['time', ...ranks],
      query.beats,
      query.maxPoints,
    ),
  };
}

function extremesOf(
  columnOf: ColumnSource,
  leading: readonly string[],
  names: readonly string[],
  [from, to]: Rows,
  maxRows: number,
): Columns {
  return pick(columnOf, names, downsample(leading.map(columnOf), from, to, maxRows));
}

/**
 * Means over buckets, with the step and time of the middle row, and the longest step of each bucket and its
 * duration.
 */
function averagesOf(
  columnOf: ColumnSource,
  names: readonly string[],
  { steps: [from, to], maxPoints }: GroupsQuery,
): Columns {
  const buckets = bucketsOf(from, to, maxPoints / POINTS_PER_AVERAGE);
  const middles = buckets.map(([start, end]) => (start + end - 1) >> 1);
  const means = names.map((name) => [name, jsonNumbers(meansOf(columnOf(name), buckets))] as const);
  const [step, stepMs] = [columnOf('step'), columnOf('stepMs')];
  const longest = rowsOfMaxima(stepMs, buckets);
  return {
    ...pick(columnOf, ['step', 'time'], middles),
    ...Object.fromEntries(means),
    longestMs: jsonNumbers(longest.map((row) => stepMs[row]!)),
    longestStep: longest.map((row) => step[row]!),
  };
}

function unprefixed(columns: Columns): Columns {
  return Object.fromEntries(
    Object.entries(columns).map(([name, values]) => [name.slice(name.lastIndexOf('.') + 1), values]),
  );
}
