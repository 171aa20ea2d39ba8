/** The unit of a chart's x values. */
export interface XAxis {
  /** Distances that ticks may have, ascending. */
  readonly steps: readonly number[];
  readonly tick: (value: number) => string;
  /** Label of the cursor's position. */
  readonly place: (value: number) => string;
}

const STEP_STEPS = [1, 2, 5].flatMap((digit) => Array.from({ length: 8 }, (_, power) => digit * 10 ** power));

/** x values are steps. */
export const STEP_AXIS: XAxis = {
  steps: STEP_STEPS.sort((a, b) => a - b),
  tick: (step) => String(step),
  place: (step) => `step ${Number(step.toFixed(1))}`,
};
