import type { Hono } from 'hono';
import { messageOf } from '../errors.js';
import type { LogEngine } from '../logql/log-engine.js';
import { take } from '../logql/log-entries.js';
import { parseQuery } from '../logql/parse.js';
import type { LokiRequest, RequestGate } from './gate.js';
import { invalid, Parameters } from './parameters.js';
import { queryAnswer, sampleText, secondsOf, toMatrix, toStreams, toVector } from './shapes.js';

export function addQueryRoutes(routes: Hono, engine: LogEngine, gate: RequestGate): void {
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
        // Checked, but not reformatted.
        parseQuery(query);
      } catch (error) {
        return c.json({ status: 'invalid-query', error: messageOf(error) }, 400);
      }
      return c.json({ status: 'success', data: query.trim() });
    }),
  );
}
