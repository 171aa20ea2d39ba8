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

/** Those pictures of which there is something to show. */
export function drawCharts(comparison: Comparison): Chart[] {
  return CHARTS.flatMap((draw) => draw(comparison) ?? []);
}
