import type { Chart } from '../picture.js';
import { compositionChart, localShareChart, stepTimeChart } from './bar-charts.js';
import type { Comparison } from './comparison.js';
import {
  clusterIndexChart,
  cosinesChart,
  loadChart,
  perplexityChart,
  tokensPerExpertChart,
} from './line-charts.js';

const CHARTS = [
  stepTimeChart,
  compositionChart,
  tokensPerExpertChart,
  localShareChart,
  perplexityChart,
  loadChart,
  cosinesChart,
  clusterIndexChart,
];

/** The charts that have data. */
export function drawCharts(comparison: Comparison): Chart[] {
  return CHARTS.flatMap((draw) => draw(comparison) ?? []);
}
