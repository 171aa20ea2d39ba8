export { metricsFeature } from './metrics-feature.js';
export { RunMetrics } from './prometheus-metrics.js';
