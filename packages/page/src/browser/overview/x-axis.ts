import { formatCount, formatDurationMs, formatElapsed } from '../format.js';
import type { PageState } from '../page-state.js';
import { multiplesOf, STEPS_MS } from '../ticks.js';

/** The unit of a chart's x values. */
export interface XAxis {
  /** Name of the values, below the axis and in files. */
  readonly name: string;
  /** Distances that ticks may have, ascending. */
  readonly steps: readonly number[];
  /** Room for a tick in px. */
  readonly space: number;
  readonly tick: (value: number) => string;
  /** Label of the cursor's position. */
  readonly place: (value: number) => string;
}

/** Returns 1, 2, 5, 10 and so on, up to ten to the power of `powers`. */
const roundSteps = (powers: number) =>
  [1, 2, 5]
    .flatMap((digit) => Array.from({ length: powers }, (_, power) => digit * 10 ** power))
    .sort((a, b) => a - b);

export const STEP_AXIS: XAxis = {
  name: 'step',
  steps: roundSteps(8),
  space: 60,
  tick: (step) => String(step),
  // A heartbeat may lie between two steps.
  place: (step) => `step ${Math.round(step)}`,
};

/** x values in seconds since the start of the run. */
const TIME_AXIS: XAxis = {
  name: 'time since the start',
  steps: STEPS_MS.map((ms) => ms / 1e3),
  space: 72,
  tick: (seconds) => formatElapsed(1e3 * seconds),
  place: (seconds) => `at ${formatDurationMs(1e3 * seconds)}`,
};

/** x values are tokens that the run has trained on. */
const TOKEN_AXIS: XAxis = {
  name: 'tokens',
  steps: roundSteps(15),
  space: 72,
  // 1.5M for 1.50M, and 2M for 2.00M.
  tick: (tokens) =>
    formatCount(tokens)
      .replace(/(\.\d*?)0+(?=[kMG]$)/, '$1')
      .replace(/\.(?=[kMG]$)/, ''),
  place: (tokens) => `at ${formatCount(tokens)} tokens`,
};

export const X_AXES: Readonly<Record<PageState['axis'], XAxis>> = {
  step: STEP_AXIS,
  time: TIME_AXIS,
  tokens: TOKEN_AXIS,
};

/** Returns round positions between two values, at most `maxTicks`. */
export function ticksOf(
  { steps }: XAxis,
  [first, last]: readonly [number, number],
  maxTicks: number,
): number[] {
  return multiplesOf(steps.find((each) => (last - first) / each <= maxTicks) ?? last - first, first, last);
}
