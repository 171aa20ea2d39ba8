/** The unit of a chart's x values. */
export interface XAxis {
  /** What the values are, below the axis and in files. */
  readonly name: string;
  /** Distances that ticks may have, ascending. */
  readonly steps: readonly number[];
  /** Room for a tick in px. */
  readonly space: number;
  readonly tick: (value: number) => string;
  /** Label of the cursor's position. */
  readonly place: (value: number) => string;
}

const STEP_STEPS = [1, 2, 5].flatMap((digit) => Array.from({ length: 8 }, (_, power) => digit * 10 ** power));

/** x values are steps. */
export const STEP_AXIS: XAxis = {
  name: 'step',
  steps: STEP_STEPS.sort((a, b) => a - b),
  space: 60,
  tick: (step) => String(step),
  // Heartbeats lie between steps.
  place: (step) => `step ${Math.round(step)}`,
};
