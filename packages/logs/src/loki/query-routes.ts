import type { Hono } from 'hono';
import type { LogEngine } from '../logql/log-engine.js';
import { take } from '../logql/log-entries.js';
import { sampleText } from '../logql/number-text.js';
import { parseQuery } from '../logql/parse.js';
import type { RequestGate } from './gate.js';
import { invalid } from './parameters.js';
import { queryAnswer, secondsOf, toMatrix, toStreams, toVector } from './shapes.js';

/** `query_range`, `query` and `format_query`. */
export function addQueryRoutes(routes: Hono, engine: LogEngine, gate: RequestGate): void {
  routes.on(
    ['GET', 'POST'],
    '/loki/api/v1/query_range',
    gate.json(async (parameters, signal) => {
      const started = performance.now();
      const query = parseQuery(parameters.query);
      if (query.kind === 'log') {
        const { range, direction, limit } = parameters;
        const entries = await take(engine.lines(query, range, direction, { signal }), limit);
        return queryAnswer('streams', toStreams(entries), started, entries.length);
      }
      const { grid } = parameters;
      return queryAnswer('matrix', toMatrix(await engine.evaluate(query, grid, { signal }), grid), started);
    }),
  );
  routes.on(
    ['GET', 'POST'],
    '/loki/api/v1/query',
    gate.json(async (parameters, signal) => {
      const started = performance.now();
      const query = parseQuery(parameters.query);
      if (query.kind === 'log')
        throw invalid(
          'log queries are not supported as an instant query type, please change your query to a range query type',
        );
      const at = parameters.time;
      const grid = { startMs: at.timeMs + at.nanos / 1e6, stepMs: 1, numPoints: 1 };
      const value = await engine.evaluate(query, grid, { signal });
      return typeof value === 'number'
        ? queryAnswer('scalar', [secondsOf(at), sampleText(value)], started)
        : queryAnswer('vector', toVector(value, at), started);
    }),
  );
  routes.on(
    ['GET', 'POST'],
    '/loki/api/v1/format_query',
    gate.json(async ({ query }) => {
      // Checked, but not reformatted.
      parseQuery(query);
      return { status: 'success', data: query.trim() };
    }),
  );
}
