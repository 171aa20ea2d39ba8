import {
  bootstrapIntervals,
  type Interval,
  type Score,
  scoreOf,
  total,
} from 'locmoe/internal/evaluation/statistics';
import { mean } from '../../packages/bench/src/statistics.js';
import { testMean } from '../kit/student-t.js';
import { type Answers, CLOZE, MEASURES, type Measure, type TaskAnswers } from './answers.js';
import { TELEQNA } from './material.js';
import { BASELINE } from './routers.js';

export const PLUS = 'locmoe-plus';

export interface Model {
  readonly router: string;
  readonly seed: number;
}

export interface Training {
  readonly checkpoint: string;
  readonly steps: number;
  readonly tokens: number;
  /** Tokens of answers among these, in fine-tuning. */
  readonly answerTokens: number;
  readonly loss: number | null;
}

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

/** A mean over questions, each of which counts with its mean over the seeds. */
export type Mean = Omit<Score, 'n'>;

export interface RouterFigures {
  readonly router: string;
  readonly before: Mean;
  readonly after: Mean;
  /** Scores after fine-tuning, by seed. */
  readonly seeds: readonly number[];
  /** Null for the baseline itself, and without it. */
  readonly againstBaseline: Difference | null;
}

export interface MeasureFigures extends Omit<TaskAnswers, 'values'> {
  readonly task: string;
  readonly measure: Measure;
  readonly n: number;
  readonly routers: readonly RouterFigures[];
}

/** Facts of a report beside the answers. */
interface About {
  readonly recipe: string;
  readonly parameters: number;
  /** Tokens of a sequence. */
  readonly window: number;
  /** Time of the training of a base model. */
  readonly hours: number;
  readonly samples: number;
  readonly material: string;
  /** Questions of each file, if not all were asked: not for reporting. */
  readonly limit: number | null;
}

export interface Figures {
  /** Shares of the questions; likelihoods in nats per character, in the cloze per token. */
  readonly measures: readonly MeasureFigures[];
  /** The task of the next one: TeleQnA, or without it the cloze. */
  readonly headlineTask: string;
  /** `locmoe-plus` against the baseline, as a share of the questions; null if one of them is missing. */
  readonly plusVsBaseline: Difference | null;
  readonly base: Pick<About, 'recipe' | 'parameters' | 'window' | 'hours'> &
    Pick<Training, 'steps' | 'tokens'>;
  readonly tuning: Pick<About, 'samples'> & Pick<Training, 'steps' | 'tokens' | 'answerTokens'>;
  /** Validation losses in nats per token: of the base model on text, after fine-tuning on held-out answers. */
  readonly models: readonly (Model & { readonly base: number | null; readonly tuned: number | null })[];
  readonly seeds: readonly number[];
  readonly material: string;
  readonly limit: number | null;
}

/** @param results every router with the same seeds, and all with the same questions */
export function figuresOf(
  results: readonly ModelResult[],
  { recipe, parameters, window, hours, samples, material, limit }: About,
): Figures {
  const measures = measuresOf(results);
  const headlineTask = measures.some(({ task }) => task === TELEQNA) ? TELEQNA : CLOZE;
  const headline = measures.find(({ task, measure }) => task === headlineTask && measure === 'continuation')!;
  const { base, tuned } = results[0]!;
  return {
    measures,
    headlineTask,
    plusVsBaseline: headline.routers.find(({ router }) => router === PLUS)?.againstBaseline ?? null,
    base: { recipe, parameters, window, hours, steps: base.steps, tokens: base.tokens },
    tuning: { samples, steps: tuned.steps, tokens: tuned.tokens, answerTokens: tuned.answerTokens },
    models: results.map((each) => ({
      router: each.router,
      seed: each.seed,
      base: each.base.loss,
      tuned: each.tuned.loss,
    })),
    seeds: [...new Set(results.map(({ seed }) => seed))],
    material,
    limit,
  };
}

const BOOTSTRAP_SEED = 1;

/** The answers of all models, by task and measure. */
export function measuresOf(results: readonly ModelResult[]): MeasureFigures[] {
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
  const valuesOf = (router: string, phase: 'before' | 'after'): Values =>
    results
      .filter((result) => result.router === router)
      .map((result) => result[phase][task]!.values[measure]!);
  const baseline = valuesOf(BASELINE, 'after');
  return {
    rows: routers.map((router) => {
      const after = valuesOf(router, 'after');
      return {
        router,
        before: meanOf(valuesOf(router, 'before')),
        after: meanOf(after),
        seeds: after.map(mean),
        gains:
          router === BASELINE || baseline.length === 0
            ? null
            : after.map((values, seed) => values.map((value, k) => value - baseline[seed]![k]!)),
      };
    }),
  };
}

function meanOf(values: Values): Mean {
  const { value, stderr } = scoreOf([meanOfSeeds(values)]);
  return { value, stderr };
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
export function isAtChance({ value, stderr }: Mean, chance: number): boolean {
  return Math.abs(value - chance) <= 2 * (stderr ?? 0);
}
