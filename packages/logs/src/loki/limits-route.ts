import type { Hono } from 'hono';
import { QUERY_LIMIT_MS } from '../logql/log-engine.js';
import { MAX_SERIES } from '../logql/series.js';
import { MAX_LIMIT } from './parameters.js';

/** `drilldown-limits`: what Logs Drilldown may ask for. As in Loki 0 is no limit. */
export function addLimitsRoute(routes: Hono, version: string): void {
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
