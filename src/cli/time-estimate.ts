import type { GlobalStep } from '@locmoe/run-format';
import { formatCount, formatDuration } from '../format.js';
import { mapTuple } from '../map-tuple.js';
import type { RunSnapshot } from '../run/run-listener.js';

/** Number of first steps left out, which allocate memory and try variants of the exchange. */
const STEPS_LEFT_OUT = 2;
const LEAST_STEPS = 3;
/** An estimate is due after this many steps, or after the time below. */
const ENOUGH_STEPS = 20;
const ENOUGH_MS = 5_000;
/** Upper bound of the factor by which validations and checkpoints lengthen a run. */
const MOST_ON_TOP = 1.15;
/** Share of the steps after which the estimate is checked. */
const CHECKED_AFTER = 0.1;

/** Estimates from its first steps how long a run will take, and corrects the estimate once if it proves wrong. */
export class TimeEstimate {
  #firstStep: number | null = null;
  readonly #stepMs: number[] = [];
  /** Estimated duration of the run from its first step on; null before the estimate. */
  #range: { readonly leastS: number; readonly mostS: number } | null = null;
  #isChecked = false;

  /** @param mayStopEarly true with train.earlyStop */
  constructor(private readonly mayStopEarly: boolean) {}

  /** @returns a line to print; null for most steps */
  line(
    step: Pick<GlobalStep, 'step' | 'stepMs'>,
    run: Pick<RunSnapshot, 'steps' | 'secondsLeft'>,
  ): string | null {
    this.#firstStep ??= step.step;
    const numDone = step.step - this.#firstStep + 1;
    const numSteps = run.steps - this.#firstStep + 1;
    if (this.#range !== null) return this.#correction(numDone / numSteps, run.secondsLeft);
    if (numDone <= STEPS_LEFT_OUT) return null;
    this.#stepMs.push(step.stepMs);
    const ms = this.#stepMs.reduce((sum, each) => sum + each, 0);
    const count = this.#stepMs.length;
    if (count < LEAST_STEPS || (count < ENOUGH_STEPS && ms < ENOUGH_MS) || run.secondsLeft === 0) return null;
    const sorted = this.#stepMs.toSorted((a, b) => a - b);
    const [fast, slow] = mapTuple([0.25, 0.75], (share) => sorted[Math.floor(share * (count - 1))]!);
    const left = run.steps - step.step;
    // The remaining seconds already account for train.maxHours.
    const limitS = run.secondsLeft < (0.5 * left * fast) / 1000 ? run.secondsLeft : Infinity;
    const secondsAt = (stepMs: number) => Math.min(limitS, (left * stepMs) / 1000);
    const [leastS, mostS] = [secondsAt(fast), secondsAt(slow * MOST_ON_TOP)];
    this.#range = { leastS, mostS };
    const [least, most] = [formatDuration(leastS), formatDuration(mostS)];
    const range = least === most ? least : `${least} to ${most}`;
    return (
      `time: about ${range} for ${formatCount(left)} more steps, by the first ${count} ` +
      `(${Math.round(fast)} to ${Math.round(slow)} ms a step), with validations and checkpoints` +
      (this.mayStopEarly ? '; train.earlyStop may end it sooner' : '')
    );
  }

  #correction(share: number, secondsLeft: number): string | null {
    if (this.#isChecked || share < CHECKED_AFTER) return null;
    this.#isChecked = true;
    const { leastS, mostS } = this.#range!;
    const rest = 1 - share;
    if (secondsLeft >= 0.8 * rest * leastS && secondsLeft <= 1.2 * rest * mostS) return null;
    return `time: about ${formatDuration(secondsLeft)} from here on; the first steps were not like the later ones`;
  }
}
