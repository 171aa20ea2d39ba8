import type { HttpFeature } from '@locmoe/logs/http';
import { Hono } from 'hono';
import { collectDefaultMetrics, Registry } from 'prom-client';

/** Gauges of prom-client that end in `_total`, which only counters may; the same numbers exist by type. */
const MISNAMED = [
  'nodejs_active_resources_total',
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
];
const EVENT_LOOP_SAMPLE_MS = 50;

/** Creates a registry with the metrics of this process: memory, processor time, event loop. */
export function processRegistry(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: EVENT_LOOP_SAMPLE_MS });
  for (const name of MISNAMED) registry.removeSingleMetric(name);
  return registry;
}

/** Serves `GET /metrics` in Prometheus' text format. */
export function metricsFeature(render: () => Promise<string>): HttpFeature {
  const headers = { 'Content-Type': Registry.PROMETHEUS_CONTENT_TYPE };
  return { routes: new Hono().get('/metrics', async (c) => c.body(await render(), 200, headers)) };
}
