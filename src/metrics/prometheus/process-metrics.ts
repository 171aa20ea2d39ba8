import { collectDefaultMetrics, type Registry } from 'prom-client';

/**
 * Gauges of prom-client that end in `_total`, which only counters may: the same numbers are there by type.
 */
const MISNAMED = [
  'nodejs_active_resources_total',
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
];

const EVENT_LOOP_SAMPLE_MS = 50;

/** The coordinator's own process: CPU, memory, event loop, garbage collection. */
export function collectProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: EVENT_LOOP_SAMPLE_MS });
  for (const name of MISNAMED) registry.removeSingleMetric(name);
}
