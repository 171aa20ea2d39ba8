import type { Chart } from '../picture.js';
import { compositionChart, localShareChart, stepTimeChart } from './bar-charts.js';
import type { Comparison } from './comparison.js';
import type { Findings } from './headline.js';
import {
  clusterIndexChart,
  cosinesChart,
  loadChart,
  stayedChart,
  tokensPerExpertChart,
} from './line-charts.js';
import { frontierChart, perplexityChart } from './quality-charts.js';

const CHARTS: readonly ((comparison: Comparison, findings: Findings) => Chart | null)[] = [
  perplexityChart,
  frontierChart,
  stepTimeChart,
  compositionChart,
  tokensPerExpertChart,
  localShareChart,
  loadChart,
  cosinesChart,
  clusterIndexChart,
  stayedChart,
];

/** The charts that have data. */
export function drawCharts(comparison: Comparison, findings: Findings): Chart[] {
  return CHARTS.flatMap((draw) => draw(comparison, findings) ?? []);
}
