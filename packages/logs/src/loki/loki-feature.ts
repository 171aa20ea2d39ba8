import { Hono } from 'hono';
import type { HttpFeature } from '../http/http-server.js';
import { LogEngine } from '../logql/log-engine.js';
import type { LogCatalog } from '../store/log-catalog.js';
import { addFieldRoutes } from './field-routes.js';
import { RequestGate } from './gate.js';
import { addIndexRoutes } from './index-routes.js';
import { addLimitsRoute } from './limits-route.js';
import { addPatternRoutes } from './pattern-routes.js';
import { addPushRoute } from './push.js';
import { addQueryRoutes } from './query-routes.js';
import { Tails } from './tail.js';

/** Activity of clients of the API, and lines they have missed. */
export interface LokiActivity {
  readonly tails: number;
  /** Lines that slow tails did not get. */
  readonly droppedLines: number;
  /** Requests that wait for others to be answered. */
  readonly waitingRequests: number;
}

export interface LokiFeature extends HttpFeature {
  activity(): LokiActivity;
}

/**
 * Loki's HTTP API over a catalog, for Grafana, logcli and web pages; docs/observability.md lists the
 * endpoints.
 *
 * @param version of the program, for `status/buildinfo`
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
  addPushRoute(routes, catalog, engine, gate);
  routes.get('/loki/api/v1/status/buildinfo', (c) =>
    c.json({ version, revision: '', branch: '', buildUser: '', buildDate: '', goVersion: '' }),
  );
  // A WebSocket does not come here.
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
