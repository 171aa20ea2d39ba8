import type { HttpFeature } from '@locmoe/logs/http';
import { Hono } from 'hono';
import type { PrometheusMetrics } from './prometheus-metrics.js';

/** `GET /metrics` for Prometheus. */
export function metricsFeature(metrics: PrometheusMetrics): HttpFeature {
  const routes = new Hono();
  routes.get('/metrics', async (c) =>
    c.body(await metrics.render(), 200, { 'Content-Type': metrics.contentType }),
  );
  return { routes };
}
