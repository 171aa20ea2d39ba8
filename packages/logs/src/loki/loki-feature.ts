import { Hono } from 'hono';
import { messageOf } from '../errors.js';
import type { HttpFeature } from '../http/http-server.js';
import { LogEngine, QUERY_LIMIT_MS } from '../logql/log-engine.js';
import { take } from '../logql/log-entries.js';
import { parseQuery } from '../logql/parse.js';
import { MAX_SERIES } from '../logql/series.js';
import type { LogCatalog } from '../store/log-catalog.js';
import { addFieldRoutes } from './field-routes.js';
import { type LokiRequest, RequestGate } from './gate.js';
import { addIndexRoutes } from './index-routes.js';
import { invalid, MAX_LIMIT, Parameters } from './parameters.js';
import { addPatternRoutes } from './pattern-routes.js';
import { queryAnswer, sampleText, secondsOf, toMatrix, toStreams, toVector } from './shapes.js';
import { Tails } from './tail.js';

function addQueryRoutes(routes: Hono, engine: LogEngine, gate: RequestGate): void {
  const add = (path: string, answer: (request: LokiRequest) => Promise<object>) =>
    routes.on(['GET', 'POST'], `/loki/api/v1/${path}`, gate.json(answer));
  add('query_range', async (request) => {
    const { parameters, options, isCategorized } = request;
    const query = parseQuery(parameters.query);
    if (query.kind === 'log') {
      const { range, direction, limit } = parameters;
      const entries = await take(engine.lines(query, range, direction, options), limit);
      return queryAnswer(request, 'streams', toStreams(entries, isCategorized), entries.length);
    }
    const { grid } = parameters;
    return queryAnswer(request, 'matrix', toMatrix(await engine.evaluate(query, grid, options), grid));
  });
  add('query', async (request) => {
    const { parameters, options } = request;
    const query = parseQuery(parameters.query);
    if (query.kind === 'log')
      throw invalid(
        'log queries are not supported as an instant query type, please change your query to a range query type',
      );
    const at = parameters.time;
    const grid = { startMs: at.timeMs, startNanos: at.nanos, stepMs: 1, numPoints: 1 };
    const value = await engine.evaluate(query, grid, options);
    return typeof value === 'number'
      ? queryAnswer(request, 'scalar', [secondsOf(at), sampleText(value)], 1)
      : queryAnswer(request, 'vector', toVector(value, at));
  });
  routes.on(
    ['GET', 'POST'],
    '/loki/api/v1/format_query',
    gate.guard(async (c) => {
      const { query } = await Parameters.of(c);
      try {
        // The query is checked but not reformatted.
        parseQuery(query);
      } catch (error) {
        return c.json({ status: 'invalid-query', error: messageOf(error) }, 400);
      }
      return c.json({ status: 'success', data: query.trim() });
    }),
  );
}

/** Activity of the API's clients, and lines that they have missed. */
export interface LokiActivity {
  readonly tails: number;
  /** Lines that slow tails did not receive. */
  readonly droppedLines: number;
  /** Requests that are waiting for their turn. */
  readonly waitingRequests: number;
}

interface LokiFeature extends HttpFeature {
  activity(): LokiActivity;
}

/**
 * Serves Loki's HTTP API over a catalog, for Grafana, logcli and web pages; docs/observability.md lists the
 * endpoints.
 *
 * @param version version of the program, for `status/buildinfo`
 */
export function lokiFeature(catalog: LogCatalog, version: string): LokiFeature {
  const engine = new LogEngine(catalog);
  const gate = new RequestGate();
  const tails = new Tails(engine);
  const routes = new Hono();
  addQueryRoutes(routes, engine, gate);
  addIndexRoutes(routes, engine, gate);
  addFieldRoutes(routes, engine, gate);
  addPatternRoutes(routes, engine, gate);
  addLimitsRoute(routes, version);
  routes.get('/loki/api/v1/status/buildinfo', (c) =>
    c.json({ version, revision: '', branch: '', buildUser: '', buildDate: '', goVersion: '' }),
  );
  // Requests for a WebSocket do not reach this route.
  routes.get('/loki/api/v1/tail', (c) => c.text('Bad Request: a tail is a WebSocket', 400));
  return {
    routes,
    sockets: new Map([['/loki/api/v1/tail', tails.handle]]),
    close: () => tails.close(),
    activity: () => ({
      tails: tails.numOpen,
      droppedLines: tails.numDropped,
      waitingRequests: gate.numWaiting,
    }),
  };
}

/** Adds `drilldown-limits`: the limits that Logs Drilldown must respect. As in Loki, 0 means no limit. */
function addLimitsRoute(routes: Hono, version: string): void {
  routes.get('/loki/api/v1/drilldown-limits', (c) =>
    c.json({
      limits: {
        discover_log_levels: true,
        discover_service_name: [],
        max_entries_limit_per_query: MAX_LIMIT,
        max_query_bytes_read: '0B',
        max_query_length: '0s',
        max_query_lookback: '0s',
        max_query_range: '0s',
        max_query_series: MAX_SERIES,
        metric_aggregation_enabled: false,
        pattern_persistence_enabled: false,
        query_timeout: `${QUERY_LIMIT_MS / 1000}s`,
        retention_period: '0s',
        volume_enabled: true,
        volume_max_series: Math.min(MAX_LIMIT, MAX_SERIES),
      },
      pattern_ingester_enabled: true,
      version,
    }),
  );
}
