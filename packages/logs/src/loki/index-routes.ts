import type { Hono } from 'hono';
import type { LogQuery, Matcher, MetricQuery } from '../logql/ast.js';
import type { LogEngine } from '../logql/log-engine.js';
import { parseLogQuery } from '../logql/parse.js';
import type { Series, TimeGrid } from '../logql/series.js';
import { instantOfMs, type TimeRange } from '../store/instant.js';
import { hasSelected } from '../store/log-reader.js';
import { type Labels, labelsKey } from '../store/streams.js';
import type { RequestGate } from './gate.js';
import type { Parameters } from './parameters.js';
import { queryAnswer, toMatrix, toVector } from './shapes.js';

/** `labels`, `label/NAME/values`, `series`, `index/*` and `detected_labels`: what the index knows. */
export function addIndexRoutes(routes: Hono, engine: LogEngine, gate: RequestGate): void {
  const streamsAskedFor = (parameters: Parameters) => {
    const query = parameters.get('query');
    return streamsIn(engine, query === undefined ? [] : parseLogQuery(query).matchers, parameters.range);
  };
  for (const path of ['/loki/api/v1/labels', '/loki/api/v1/label'])
    routes.on(
      ['GET', 'POST'],
      path,
      gate.json(async (parameters) => {
        const streams = await streamsAskedFor(parameters);
        return { status: 'success', data: distinct(streams.flatMap((labels) => [...labels.keys()])) };
      }),
    );
  routes.get(
    '/loki/api/v1/label/:name/values',
    gate.json(async (parameters, _, c) => {
      const name = c.req.param('name') ?? '';
      const streams = await streamsAskedFor(parameters);
      return { status: 'success', data: distinct(streams.flatMap((labels) => labels.get(name) ?? [])) };
    }),
  );
  routes.on(
    ['GET', 'POST'],
    '/loki/api/v1/series',
    gate.json(async (parameters) => {
      const { range } = parameters;
      const selectors = parameters.all('match').map((text) => parseLogQuery(text).matchers);
      const found = new Map<string, Labels>();
      for (const matchers of selectors.length === 0 ? [[]] : selectors)
        for (const labels of await streamsIn(engine, matchers, range)) found.set(labelsKey(labels), labels);
      return { status: 'success', data: [...found.values()].map((labels) => Object.fromEntries(labels)) };
    }),
  );
  routes.on(
    ['GET', 'POST'],
    '/loki/api/v1/index/stats',
    gate.json(async (parameters, signal) => {
      const query = parseLogQuery(parameters.query);
      const { range } = parameters;
      const views = await engine.open(query.matchers, range.start.timeMs);
      const chunks = views.flatMap((view) =>
        view.blocks.filter((block) => overlaps(block, range) && hasSelected(view, block)),
      );
      const total = async (op: 'count_over_time' | 'bytes_over_time') => {
        const series = await volume(engine, query, range, [], op, signal);
        return series[0]?.values[0] ?? 0;
      };
      return {
        streams: (await streamsIn(engine, query.matchers, range)).length,
        chunks: chunks.length,
        entries: await total('count_over_time'),
        bytes: await total('bytes_over_time'),
      };
    }),
  );
  routes.on(
    ['GET', 'POST'],
    '/loki/api/v1/index/volume',
    gate.json(async (parameters, signal) => {
      const started = performance.now();
      const { range, limit } = parameters;
      const query = parseLogQuery(parameters.query);
      const end = instantOfMs(range.end.timeMs);
      const largest = (names: readonly string[]) =>
        volume(engine, query, range, names, 'bytes_over_time', signal);
      let series: Series[];
      if (parameters.get('aggregateBy') === 'labels') {
        series = [];
        const names = distinct(
          (await streamsIn(engine, query.matchers, range)).flatMap((labels) => [...labels.keys()]),
        );
        for (const name of names) {
          const values = (await largest([name])).filter(({ labels }) => labels.has(name));
          const total = values.reduce((sum, each) => sum + each.values[0], 0);
          series.push({
            labels: new Map([[name, '']]),
            values: Float64Array.of(total),
            present: Uint8Array.of(1),
          });
        }
      } else series = await largest(targetLabels(parameters, query.matchers));
      series.sort((a, b) => b.values[0] - a.values[0]);
      return queryAnswer('vector', toVector(series.slice(0, limit), end), started);
    }),
  );
  routes.on(
    ['GET', 'POST'],
    '/loki/api/v1/index/volume_range',
    gate.json(async (parameters, signal) => {
      const started = performance.now();
      const { grid, limit } = parameters;
      const query = parseLogQuery(parameters.query);
      const names = targetLabels(parameters, query.matchers);
      const series = await sumBy(engine, query, names, 'bytes_over_time', grid.stepMs, grid, signal);
      const total = ({ values }: Series) => values.reduce((sum, value) => sum + value, 0);
      series.sort((a, b) => total(b) - total(a));
      return queryAnswer('matrix', toMatrix(series.slice(0, limit), grid), started);
    }),
  );
  routes.on(
    ['GET', 'POST'],
    '/loki/api/v1/detected_labels',
    gate.json(async (parameters) => {
      const streams = await streamsAskedFor(parameters);
      const detectedLabels = distinct(streams.flatMap((labels) => [...labels.keys()])).map((label) => ({
        label,
        cardinality: distinct(streams.flatMap((labels) => labels.get(label) ?? [])).length,
      }));
      return { detectedLabels };
    }),
  );
}

/** The label sets of streams that have lines in the range, as far as blocks tell. */
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

/** Labels to add up by: those asked for, or those of the selector. */
function targetLabels(parameters: Parameters, matchers: readonly Matcher[]): string[] {
  const names = parameters.get('targetLabels')?.split(',').filter(Boolean);
  return names ?? distinct(matchers.map(({ name }) => name));
}

/** Lines or bytes of the whole range. */
function volume(
  engine: LogEngine,
  query: LogQuery,
  { start, end }: TimeRange,
  names: readonly string[],
  op: 'count_over_time' | 'bytes_over_time',
  signal: AbortSignal,
): Promise<Series[]> {
  // A window is open at its beginning and closed at its end; a range the other way round.
  const grid = { startMs: end.timeMs - 1, stepMs: 1, numPoints: 1 };
  return sumBy(engine, query, names, op, Math.max(1, end.timeMs - start.timeMs), grid, signal);
}

async function sumBy(
  engine: LogEngine,
  { matchers }: LogQuery,
  labels: readonly string[],
  op: 'count_over_time' | 'bytes_over_time',
  rangeMs: number,
  grid: TimeGrid,
  signal: AbortSignal,
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
  const value = await engine.evaluate(query, grid, { signal });
  return typeof value === 'number' ? [] : [...value];
}

function distinct(texts: readonly string[]): string[] {
  return [...new Set(texts)].sort();
}
