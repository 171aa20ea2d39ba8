import type { Score } from '../../evaluation/statistics.js';
import { formatCount } from '../../format.js';

/** Formats 0.2541 as "25.4 %". */
export function formatPercent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

/** Formats the cells of a table: score, standard error, questions. */
export function scoreCells({ value, stderr, n }: Score): string[] {
  return [formatPercent(value), stderr === null ? '-' : formatPercent(stderr), formatCount(n)];
}
