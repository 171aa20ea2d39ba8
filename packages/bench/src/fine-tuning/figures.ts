import {
  bootstrapIntervals,
  type Interval,
  type Score,
  scoreOf,
  total,
} from 'locmoe/internal/evaluation/statistics';
import { BASELINE, type VariantId } from '../routers/variants.js';
import { mean } from '../statistics.js';
import { testMean } from '../student-t.js';
import { type Answers, MEASURES, type Measure, type TaskAnswers } from './answers.js';
import type { Model } from './models.js';
import type { Training } from './train.js';

/** A model and what it answered before and after fine-tuning. */
export interface ModelResult extends Model {
  readonly base: Training;
  readonly tuned: Training;
  readonly before: Answers;
  readonly after: Answers;
}

/** A router against the baseline after fine-tuning; above 0 it is better. */
export interface Difference {
  /** Mean over questions and seeds. */
  readonly difference: number;
  /** 95 %, by a paired bootstrap of the questions; each counts with its mean over the seeds. */
  readonly interval: Interval;
  /** 95 %, by Student's t on the differences of the seeds' means; null for a single seed. */
  readonly intervalOverSeeds: Interval | null;
}

export interface RouterFigures {
  readonly router: VariantId;
  /** Of the questions' means over the seeds. */
  readonly before: Score;
  readonly after: Score;
  /** After fine-tuning, by seed. */
  readonly seeds: readonly number[];
  /** Null for the baseline itself, and without it. */
  readonly againstBaseline: Difference | null;
}

/** A task by one measure. */
export interface MeasureFigures extends Omit<TaskAnswers, 'values'> {
  readonly task: string;
  readonly measure: Measure;
  readonly n: number;
  readonly routers: readonly RouterFigures[];
}

const BOOTSTRAP_SEED = 1;

/** @param results every router with the same seeds, and all with the same questions */
export function figuresOf(results: readonly ModelResult[]): MeasureFigures[] {
  return Object.entries(results[0]!.after).flatMap(([task, { values, ...rest }]) => {
    const measures = MEASURES.filter((measure) => values[measure] !== undefined);
    const tables = measures.map((measure) => tableOf(results, task, measure));
    // One bootstrap for all: resampling takes the time.
    const rows = tables.flatMap((table) =>
      table.rows.flatMap(({ gains }) => (gains === null ? [] : [gains])),
    );
    const intervals = bootstrapIntervals(rows.map(meanOfSeeds), BOOTSTRAP_SEED);
    return measures.map((measure, i) => ({
      task,
      measure,
      ...rest,
      n: values[measure]!.length,
      routers: tables[i]!.rows.map(({ gains, ...row }) => ({
        ...row,
        againstBaseline: gains && differenceOf(gains, intervals[rows.indexOf(gains)]!),
      })),
    }));
  });
}

/** Values by seed and question. */
type Values = readonly (readonly number[])[];

function tableOf(
  results: readonly ModelResult[],
  task: string,
  measure: Measure,
): {
  readonly rows: readonly (Omit<RouterFigures, 'againstBaseline'> & { readonly gains: Values | null })[];
} {
  const routers = [...new Set(results.map(({ router }) => router))];
  const valuesOf = (router: VariantId, phase: 'before' | 'after'): Values =>
    results
      .filter((result) => result.router === router)
      .map((result) => result[phase][task]!.values[measure]!);
  const baseline = valuesOf(BASELINE, 'after');
  return {
    rows: routers.map((router) => {
      const after = valuesOf(router, 'after');
      return {
        router,
        before: scoreOf([meanOfSeeds(valuesOf(router, 'before'))]),
        after: scoreOf([meanOfSeeds(after)]),
        seeds: after.map(mean),
        gains:
          router === BASELINE || baseline.length === 0
            ? null
            : after.map((values, seed) => values.map((value, k) => value - baseline[seed]![k]!)),
      };
    }),
  };
}

function meanOfSeeds(values: Values): number[] {
  return values[0]!.map((_, question) => total(values.map((ofSeed) => ofSeed[question]!)) / values.length);
}

function differenceOf(gains: Values, interval: Interval): Difference {
  return {
    difference: mean(meanOfSeeds(gains)),
    interval,
    intervalOverSeeds: testMean(gains.map(mean))?.interval ?? null,
  };
}

/** Whether a score is within two standard errors of chance. */
export function isAtChance({ value, stderr }: Score, chance: number): boolean {
  return Math.abs(value - chance) <= 2 * (stderr ?? 0);
}
