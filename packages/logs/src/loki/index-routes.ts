import type { Hono } from 'hono';
import type { Matcher } from '../logql/ast.js';
import type { LogEngine } from '../logql/log-engine.js';
import { parseLogQuery } from '../logql/parse.js';
import type { Series } from '../logql/series.js';
import { instantOfMs, type TimeRange } from '../store/instant.js';
import { hasSelected } from '../store/log-reader.js';
import { type Labels, labelsKey } from '../store/streams.js';
import type { RequestGate } from './gate.js';
import { totalVolume, volumePerStep } from './index-volume.js';
import type { Parameters } from './parameters.js';
import { queryAnswer, toMatrix, toVector } from './shapes.js';

interface IndexRequest {
  readonly engine: LogEngine;
  readonly parameters: Parameters;
  readonly signal: AbortSignal;
  /** Of `label/:name/values`; empty elsewhere. */
  readonly name: string;
}

/** Routes answered from the index: labels, series, statistics and volumes. */
export function addIndexRoutes(routes: Hono, engine: LogEngine, gate: RequestGate): void {
  const add = (path: string, handler: (request: IndexRequest) => Promise<object>) =>
    routes.on(
      ['GET', 'POST'],
      `/loki/api/v1/${path}`,
      gate.json((parameters, signal, c) =>
        handler({ engine, parameters, signal, name: c.req.param('name') ?? '' }),
      ),
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
  const selectors = parameters.all('match').map((text) => parseLogQuery(text).matchers);
  const found = new Map<string, Labels>();
  for (const matchers of selectors.length === 0 ? [[]] : selectors)
    for (const labels of await streamsIn(engine, matchers, parameters.range))
      found.set(labelsKey(labels), labels);
  return { status: 'success', data: [...found.values()].map((labels) => Object.fromEntries(labels)) };
}

/** `chunks` counts blocks of the index. */
async function stats({ engine, parameters, signal }: IndexRequest): Promise<object> {
  const { range } = parameters;
  const { matchers } = parseLogQuery(parameters.query);
  const views = await engine.open(matchers, range.start.timeMs);
  const chunks = views.flatMap((view) =>
    view.blocks.filter((block) => overlaps(block, range) && hasSelected(view, block)),
  );
  const total = async (op: 'count_over_time' | 'bytes_over_time') => {
    const [sum] = await totalVolume(engine, { matchers, op, labels: [] }, range, signal);
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
  const started = performance.now();
  const { range, limit } = request.parameters;
  const volumes =
    request.parameters.get('aggregateBy') === 'labels'
      ? await volumeByLabel(request)
      : await volumeBySeries(request);
  volumes.sort((a, b) => b.values[0] - a.values[0]);
  return queryAnswer('vector', toVector(volumes.slice(0, limit), instantOfMs(range.end.timeMs)), started);
}

function volumeBySeries({ engine, parameters, signal }: IndexRequest): Promise<Series[]> {
  const { matchers } = parseLogQuery(parameters.query);
  const query = { matchers, op: 'bytes_over_time', labels: targetLabels(parameters, matchers) } as const;
  return totalVolume(engine, query, parameters.range, signal);
}

/** For each label name the bytes of all streams that have it. */
async function volumeByLabel({ engine, parameters, signal }: IndexRequest): Promise<Series[]> {
  const { range } = parameters;
  const { matchers } = parseLogQuery(parameters.query);
  const volumes: Series[] = [];
  for (const name of namesOf(await streamsIn(engine, matchers, range))) {
    const query = { matchers, op: 'bytes_over_time', labels: [name] } as const;
    const byValue = (await totalVolume(engine, query, range, signal)).filter(({ labels }) =>
      labels.has(name),
    );
    const total = byValue.reduce((sum, each) => sum + each.values[0], 0);
    volumes.push({
      labels: new Map([[name, '']]),
      values: Float64Array.of(total),
      present: Uint8Array.of(1),
    });
  }
  return volumes;
}

async function volumeRange({ engine, parameters, signal }: IndexRequest): Promise<object> {
  const started = performance.now();
  const { grid, limit } = parameters;
  const { matchers } = parseLogQuery(parameters.query);
  const query = { matchers, op: 'bytes_over_time', labels: targetLabels(parameters, matchers) } as const;
  const volumes = await volumePerStep(engine, query, grid, signal);
  const total = ({ values }: Series) => values.reduce((sum, value) => sum + value, 0);
  volumes.sort((a, b) => total(b) - total(a));
  return queryAnswer('matrix', toMatrix(volumes.slice(0, limit), grid), started);
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

/** The streams of the parameter `query`; without one, all. */
function queriedStreams({ engine, parameters }: IndexRequest): Promise<Labels[]> {
  const query = parameters.get('query');
  return streamsIn(engine, query === undefined ? [] : parseLogQuery(query).matchers, parameters.range);
}

/** Label sets with lines in the range, at the precision of blocks. */
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
        const stream = file.streams.all[id];
        if (isSelected(stream)) found.set(labelsKey(stream.labels), stream.labels);
      }
    }
  return [...found.values()];
}

function overlaps(block: { minMs: number; maxMs: number }, { start, end }: TimeRange): boolean {
  return block.maxMs >= start.timeMs && block.minMs <= end.timeMs;
}

/** Labels to sum by: the parameter `targetLabels`, or those that the selector names. */
function targetLabels(parameters: Parameters, matchers: readonly Matcher[]): string[] {
  const names = parameters.get('targetLabels')?.split(',').filter(Boolean);
  return names ?? distinct(matchers.map(({ name }) => name));
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
