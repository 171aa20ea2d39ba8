import type { Pair } from '@locmoe/bench/internal/pairs';
import { type MeanTest, testMean } from '@locmoe/bench/internal/student-t';
import type { Arm, Design, Question } from './design.js';
import type { Cell } from './jobs.js';
import { MEASURES, type Measure } from './measures.js';
import { keyOf, type Run } from './runs.js';

/** All data that the page is made from. */
export interface Compared {
  readonly design: Design;
  readonly cells: readonly Cell[];
  readonly runs: readonly Run[];
}

/** Finds the runs of an arm of a question, even if they were made for another question. */
export class Results {
  readonly #cells: readonly Cell[];
  readonly #runs: ReadonlyMap<string, Run>;

  constructor({ cells, runs }: Pick<Compared, 'cells' | 'runs'>) {
    this.#cells = cells;
    this.#runs = new Map(runs.map((run) => [keyOf(run), run]));
  }

  /** Returns the existing runs, by seed. */
  of(question: Question, arm: Arm, kind: Run['kind']): Run[] {
    return this.#cellsOf(question, arm, kind).flatMap((cell) =>
      cell.seeds.flatMap((seed) => this.#runs.get(keyOf({ ...cell, seed })) ?? []),
    );
  }

  /** Returns the number of runs of a question, and of those that are missing. */
  progress(question: Question): { readonly planned: number; readonly missing: number } {
    const keys = new Set(
      this.#cells
        .filter((cell) => cell.question === question)
        .flatMap((cell) => cell.seeds.map((seed) => keyOf({ ...cell, seed }))),
    );
    return { planned: keys.size, missing: [...keys].filter((key) => !this.#runs.has(key)).length };
  }

  /** Returns the values of a measure over the seeds of an arm. */
  values(question: Question, arm: Arm, measure: Measure): number[] {
    const { kind, of } = MEASURES[measure];
    return this.of(question, arm, kind).flatMap((run) => of(run) ?? []);
  }

  /** Returns the values of a measure for two arms, paired by seed; times only if both are of the same machine. */
  pairs(question: Question, arm: Arm, reference: Arm, measure: Measure | 'timeToLoss'): Pair[] {
    if (measure === 'timeToLoss') return this.#timesToLoss(question, arm, reference);
    const { kind, of } = MEASURES[measure];
    const others = this.of(question, reference, kind);
    return this.of(question, arm, kind).flatMap((run) => {
      const reference = others.find(
        ({ seed, machine }) => seed === run.seed && (kind === 'quality' || machine === run.machine),
      );
      const [own, other] = [of(run), reference === undefined ? null : of(reference)];
      // If the experts of an arm have no tokens, a measure is 0, and there is no ratio.
      return own === null || other === null || own === 0 || other === 0 ? [] : [{ own, other }];
    });
  }

  /**
   * Returns the time until an arm's validation loss is as low as the reference's final one: number of updates
   * times the time of one.
   */
  #timesToLoss(question: Question, arm: Arm, reference: Arm): Pair[] {
    const [own, other] = [arm, reference].map((each) => this.of(question, each, 'quality'));
    const times = this.pairs(question, arm, reference, 'stepMs');
    const seeds = this.of(question, arm, 'time').map(({ seed }) => seed);
    if (times.length !== seeds.length) return [];
    return seeds.flatMap((seed, i) => {
      const [run, baseline] = [own, other].map((some) => some!.find((each) => each.seed === seed));
      if (run === undefined || baseline === undefined) return [];
      const loss = baseline.curve.at(-1)!.loss;
      return [
        {
          own: stepsToReach(run.curve, loss) * times[i]!.own,
          other: stepsToReach(baseline.curve, loss) * times[i]!.other,
        },
      ];
    });
  }

  #cellsOf(question: Question, arm: Arm, kind: Run['kind']): Cell[] {
    return this.#cells.filter(
      (cell) => cell.question === question && cell.arm.id === arm.id && cell.kind === kind,
    );
  }
}

/**
 * Finds the step at which a curve first falls to a loss, by linear interpolation between validations.
 *
 * @returns the step of the first validation if its loss is already low enough, Infinity if none is
 */
export function stepsToReach(curve: Run['curve'], loss: number): number {
  const reached = curve.findIndex((point) => point.loss <= loss);
  if (reached < 0) return Number.POSITIVE_INFINITY;
  if (reached === 0) return curve[0]!.step;
  const [before, after] = [curve[reached - 1]!, curve[reached]!];
  const share = (before.loss - loss) / (before.loss - after.loss);
  return before.step + share * (after.step - before.step);
}

/** Returns the geometric mean of positive values and, for several, Student's t 95 % interval on their logarithms. */
export function geometricMean(values: readonly number[]): Pick<MeanTest, 'mean'> & {
  readonly interval: MeanTest['interval'] | null;
} {
  const logs = values.map(Math.log);
  const test = testMean(logs);
  if (test === null) return { mean: values[0]!, interval: null };
  const { mean, interval } = test;
  return {
    mean: Math.exp(mean),
    interval: { low: Math.exp(interval.low), high: Math.exp(interval.high) },
  };
}
