import { TrainerError } from 'locmoe/internal/errors';
import { median } from '../../statistics.js';

export interface CalibrateOptions {
  /** Description of the machine, for readers. */
  readonly machine: string;
  readonly date: string;
  readonly command: string;
  /** Takes a tenth of the time, for a trial. */
  readonly quick: boolean;
  readonly log: (line: string) => void;
}

/** A measured value and the count of each unknown cost in it. */
export interface Observation {
  readonly counts: readonly number[];
  readonly value: number;
  /** Unit of the observation's error; positive. */
  readonly unit: number;
}

const SWEEPS = 20_000;
const SETTLED = 1e-12;

/**
 * Fits costs by non-negative least squares of the errors in their units, by coordinate descent (Franc, Hlavac
 * and Navara, "Sequential coordinate-wise algorithm for the non-negative least squares problem", 2005). A
 * cost that never occurs is 0.
 */
export function fitCosts(observations: readonly Observation[]): number[] {
  const rows = observations.map(({ counts, unit }) => counts.map((count) => count / unit));
  const numCosts = rows[0]!.length;
  // Columns are scaled to unit length, so that costs of any magnitude converge equally fast.
  const scales = Array.from({ length: numCosts }, (_, i) => Math.hypot(...rows.map((row) => row[i]!)));
  const scaled = rows.map((row) => row.map((count, i) => (scales[i] === 0 ? 0 : count / scales[i]!)));
  const gram = scales.map((_, i) => scales.map((__, j) => dot(scaled, i, j)));
  const target = scales.map((_, i) =>
    observations.reduce((sum, { value, unit }, k) => sum + (scaled[k]![i]! * value) / unit, 0),
  );
  const costs = scales.map(() => 0);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    let moved = 0;
    costs.forEach((cost, i) => {
      if (scales[i] === 0) return;
      const gradient = gram[i]!.reduce((sum, each, j) => sum + each * costs[j]!, 0) - target[i]!;
      costs[i] = Math.max(0, cost - gradient / gram[i]![i]!);
      moved = Math.max(moved, Math.abs(costs[i] - cost));
    });
    if (moved < SETTLED) break;
  }
  return costs.map((cost, i) => (scales[i] === 0 ? 0 : cost / scales[i]!));
}

function dot(rows: readonly (readonly number[])[], i: number, j: number): number {
  return rows.reduce((sum, row) => sum + row[i]! * row[j]!, 0);
}

/** Returns the error of each observation, fitted minus measured, in its unit. */
export function errorsOf(observations: readonly Observation[], costs: readonly number[]): number[] {
  return observations.map(
    ({ counts, value, unit }) =>
      (counts.reduce((sum, count, i) => sum + count * costs[i]!, 0) - value) / unit,
  );
}

export function describeErrors(errors: readonly number[]): string {
  const sizes = errors.map(Math.abs);
  const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
  return `${errors.length} measurements, explained within ${percent(median(sizes))} (median), ${percent(Math.max(...sizes))} (worst)`;
}

const MAX_TRIES = 3;

/**
 * Repeats a measurement in which other work on the machine has hidden a cost: the fit then puts that cost at
 * 0, and a plan would count it as free.
 *
 * @param hidden names a cost that is 0 in a result; null if there is none
 * @throws TrainerError `NO_RESOURCE` if a cost is hidden in every try
 */
export async function measureVisible<T>(
  measure: () => Promise<T>,
  hidden: (result: T) => string | null,
  log: (line: string) => void,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    const result = await measure();
    const what = hidden(result);
    if (what === null) return result;
    if (tries === MAX_TRIES)
      throw new TrainerError(
        'NO_RESOURCE',
        `${what} cost nothing in ${MAX_TRIES} measurements: other work on this machine hides it; calibrate while there is none`,
      );
    log(`  ${what} seem to cost nothing, so other work on this machine hides it; measuring again`);
  }
}
