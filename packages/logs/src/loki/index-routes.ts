import type { Hono } from 'hono';
import type { LogQuery, Matcher, MetricQuery } from '../logql/ast.js';
import type { LogEngine } from '../logql/log-engine.js';
import type { Series, TimeGrid } from '../logql/series.js';
import { compareInstants, type Instant, instantOfMs, type TimeRange } from '../store/instant.js';
import { hasSelected, type QueryOptions } from '../store/log-reader.js';
import { type Labels, labelsKey } from '../store/streams.js';
import type { LokiRequest, RequestGate } from './gate.js';
import { selectorOf } from './parameters.js';
import { type MatrixJson, queryAnswer, sampleText, secondsOf, toVector } from './shapes.js';

interface IndexRequest extends LokiRequest {
  readonly engine: LogEngine;
}

/** Routes answered from the index: labels, series, statistics and volumes. */
export function addIndexRoutes(routes: Hono, engine: LogEngine, gate: RequestGate): void {
  const add = (path: string, answer: (request: IndexRequest) => Promise<object>) =>
    routes.on(
      ['GET', 'POST'],
      `/loki/api/v1/${path}`,
      gate.json((request) => answer({ ...request, engine })),
    );
  add('labels', labelNames);
  add('label', labelNames);
  add('label/:name/values', labelValues);
  add('series', series);
  add('index/stats', stats);
  add('index/volume', volume);
  add('index/volume_range', volumeRange);
  add('detected_labels', detectedLabels);
}

async function labelNames(request: IndexRequest): Promise<object> {
  return { status: 'success', data: namesOf(await queriedStreams(request)) };
}

async function labelValues(request: IndexRequest): Promise<object> {
  return { status: 'success', data: valuesOf(await queriedStreams(request), request.name) };
}

async function series({ engine, parameters }: IndexRequest): Promise<object> {
  const matches = parameters.all('match');
  // `{}` alone selects all streams here, as in Loki, though no other route accepts it.
  const isAll = matches.every((text) => /^\s*\{\s*\}\s*$/.test(text));
  const found = new Map<string, Labels>();
  for (const matchers of isAll ? [[]] : matches.map(selectorOf))
    for (const labels of await streamsIn(engine, matchers, parameters.range))
      found.set(labelsKey(labels), labels);
  return { status: 'success', data: [...found.values()].map((labels) => Object.fromEntries(labels)) };
}

/** Counts streams, lines and bytes, and as `chunks` the blocks of the index. */
async function stats({ engine, parameters, options }: IndexRequest): Promise<object> {
  const { range } = parameters;
  const matchers = selectorOf(parameters.query);
  const views = await engine.open(matchers, range.start.timeMs);
  const chunks = views.flatMap((view) =>
    view.blocks.filter((block) => overlaps(block, range) && hasSelected(view, block)),
  );
  const total = async (op: 'count_over_time' | 'bytes_over_time') => {
    const [sum] = await totalVolume(engine, { matchers, op, labels: [] }, range, options);
    return sum?.values[0] ?? 0;
  };
  return {
    streams: (await streamsIn(engine, matchers, range)).length,
    chunks: chunks.length,
    entries: await total('count_over_time'),
    bytes: await total('bytes_over_time'),
  };
}

async function volume(request: IndexRequest): Promise<object> {
  const { range, limit } = request.parameters;
  const volumes =
    request.parameters.get('aggregateBy') === 'labels'
      ? await volumeByLabel(request)
      : await totalVolume(request.engine, volumeQuery(request), range, request.options);
  volumes.sort((a, b) => b.values[0]! - a.values[0]!);
  return queryAnswer(request, 'vector', toVector(volumes.slice(0, limit), instantOfMs(range.end.timeMs)));
}

/**
 * Counts bytes by the labels in the parameter `targetLabels`, for streams that have them; by default, by the
 * labels that the selector names.
 */
function volumeQuery({ parameters }: IndexRequest): VolumeQuery {
  const matchers = selectorOf(parameters.query);
  const names = parameters.get('targetLabels')?.split(',').filter(Boolean);
  if (names === undefined)
    return { matchers, op: 'bytes_over_time', labels: distinct(matchers.map(({ name }) => name)) };
  const present = names.map((name): Matcher => ({ name, op: '=~', value: '.+' }));
  return { matchers: [...matchers, ...present], op: 'bytes_over_time', labels: names };
}

/** Returns the bytes of all streams that have each label name. */
async function volumeByLabel({ engine, parameters, options }: IndexRequest): Promise<Series[]> {
  const { range } = parameters;
  const matchers = selectorOf(parameters.query);
  const volumes: Series[] = [];
  for (const name of namesOf(await streamsIn(engine, matchers, range))) {
    const query = { matchers, op: 'bytes_over_time', labels: [name] } as const;
    const byValue = (await totalVolume(engine, query, range, options)).filter(({ labels }) =>
      labels.has(name),
    );
    const total = byValue.reduce((sum, each) => sum + each.values[0]!, 0);
    volumes.push({
      labels: new Map([[name, '']]),
      values: Float64Array.of(total),
      present: Uint8Array.of(1),
    });
  }
  return volumes;
}

async function volumeRange(request: IndexRequest): Promise<object> {
  const { engine, parameters, options } = request;
  const { range, stepMs, limit } = parameters;
  const volumes = await volumePerStep(engine, volumeQuery(request), range, stepMs, options);
  const total = ({ values }: (typeof volumes)[number]) =>
    values.reduce((sum, [, bytes]) => sum + Number(bytes), 0);
  const result = volumes.sort((a, b) => total(b) - total(a)).slice(0, limit);
  // Loki returns this type for series of one point each.
  if (result.every(({ values }) => values.length === 1))
    return queryAnswer(
      request,
      'vector',
      result.map(({ metric, values: [value] }) => ({ metric, value })),
    );
  return queryAnswer(request, 'matrix', result);
}

async function detectedLabels(request: IndexRequest): Promise<object> {
  const streams = await queriedStreams(request);
  return {
    detectedLabels: namesOf(streams).map((label) => ({
      label,
      cardinality: valuesOf(streams, label).length,
    })),
  };
}

/** Returns the streams of the parameter `query`; all streams without it. */
function queriedStreams({ engine, parameters }: IndexRequest): Promise<Labels[]> {
  const query = parameters.get('query');
  return streamsIn(engine, query === undefined ? [] : selectorOf(query), parameters.range);
}

/** Returns the label sets with lines in the range, at the precision of blocks. */
async function streamsIn(
  engine: LogEngine,
  matchers: readonly Matcher[],
  range: TimeRange,
): Promise<Labels[]> {
  const found = new Map<string, Labels>();
  for (const { file, blocks, isSelected } of await engine.open(matchers, range.start.timeMs))
    for (const block of blocks) {
      if (!overlaps(block, range)) continue;
      for (const id of block.counts.keys()) {
        const stream = file.streams.all[id]!;
        if (isSelected(stream)) found.set(labelsKey(stream.labels), stream.labels);
      }
    }
  return [...found.values()];
}

function overlaps(block: { minMs: number; maxMs: number }, { start, end }: TimeRange): boolean {
  return block.maxMs >= start.timeMs && block.minMs <= end.timeMs;
}

function namesOf(streams: readonly Labels[]): string[] {
  return distinct(streams.flatMap((labels) => [...labels.keys()]));
}

function valuesOf(streams: readonly Labels[], name: string): string[] {
  return distinct(streams.flatMap((labels) => labels.get(name) ?? []));
}

function distinct(texts: readonly string[]): string[] {
  return [...new Set(texts)].sort();
}

type VolumeOp = 'count_over_time' | 'bytes_over_time';

/** A selector, what to count in its lines, and the labels to group by. */
interface VolumeQuery {
  readonly matchers: LogQuery['matchers'];
  readonly op: VolumeOp;
  readonly labels: readonly string[];
}

/** Counts lines or bytes in a whole time range, as series of one point each. */
function totalVolume(
  engine: LogEngine,
  query: VolumeQuery,
  { start, end }: TimeRange,
  options: QueryOptions,
): Promise<Series[]> {
  const rangeMs = end.timeMs - start.timeMs + (end.nanos - start.nanos) / 1e6;
  return volumeAt(engine, query, { ...justBefore(end), stepMs: 1, numPoints: 1 }, rangeMs, options);
}

/**
 * Counts lines or bytes between multiples of the step; the first and last span may be partial. As in Loki,
 * the timestamp of a point is the last ms of its span, and that of the last point is the end of the range.
 */
async function volumePerStep(
  engine: LogEngine,
  query: VolumeQuery,
  { start, end }: TimeRange,
  stepMs: number,
  options: QueryOptions,
): Promise<MatrixJson[]> {
  const byLabels = new Map<string, MatrixJson>();
  const collect = (series: readonly Series[], timeOf: (point: number) => number) => {
    for (const { labels, values, present } of series) {
      const key = labelsKey(labels);
      const found = byLabels.get(key) ?? { metric: Object.fromEntries(labels), values: [] };
      byLabels.set(key, found);
      for (const [point, value] of values.entries())
        if (present[point] === 1) found.values.push([timeOf(point), sampleText(value)]);
    }
  };
  const next = instantOfMs((Math.floor(start.timeMs / stepMs) + 1) * stepMs);
  const last = instantOfMs((Math.ceil((end.timeMs + Math.sign(end.nanos)) / stepMs) - 1) * stepMs);
  if (compareInstants(next, end) >= 0) {
    collect(await totalVolume(engine, query, { start, end }, options), () => secondsOf(end));
    return [...byLabels.values()];
  }
  collect(await totalVolume(engine, query, { start, end: next }, options), () => (next.timeMs - 1) / 1000);
  const firstMs = next.timeMs + stepMs;
  const numPoints = (last.timeMs - next.timeMs) / stepMs;
  if (numPoints > 0) {
    const grid = { ...justBefore(instantOfMs(firstMs)), stepMs, numPoints };
    const series = await volumeAt(engine, query, grid, stepMs, options);
    collect(series, (point) => (firstMs + point * stepMs - 1) / 1000);
  }
  collect(await totalVolume(engine, query, { start: last, end }, options), () => secondsOf(end));
  return [...byLabels.values()];
}

/** Moves an end back by 1 ns: a range vector covers (t - range, t], but a time range [start, end). */
function justBefore({ timeMs, nanos }: Instant): Pick<TimeGrid, 'startMs' | 'startNanos'> {
  return nanos > 0
    ? { startMs: timeMs, startNanos: nanos - 1 }
    : { startMs: timeMs - 1, startNanos: 999_999 };
}

/** Evaluates `sum by (labels) (op({matchers}[range]))`. */
async function volumeAt(
  engine: LogEngine,
  { matchers, op, labels }: VolumeQuery,
  grid: TimeGrid,
  rangeMs: number,
  options: QueryOptions,
): Promise<Series[]> {
  const query: MetricQuery = {
    kind: 'aggregate',
    op: 'sum',
    parameter: 0,
    grouping: { without: false, labels },
    inner: {
      kind: 'range',
      op,
      parameter: 0,
      log: { kind: 'log', matchers, stages: [] },
      unwrap: null,
      rangeMs,
      offsetMs: 0,
      grouping: null,
    },
  };
  const value = await engine.evaluate(query, grid, options);
  return typeof value === 'number' ? [] : [...value];
}
