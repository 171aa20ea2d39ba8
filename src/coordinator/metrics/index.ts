export { metricsFeature } from './metrics-feature.js';
export { RunMetrics } from './run-metrics.js';
