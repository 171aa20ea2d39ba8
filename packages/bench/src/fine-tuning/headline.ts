import type { RunConfig } from 'locmoe/internal/config/schema';
import { parameterCounts } from 'locmoe/internal/model/parameter-counts';
import type { VariantId } from '../routers/variants.js';
import { CLOZE } from './answers.js';
import type { Difference, MeasureFigures, ModelResult } from './figures.js';
import { type Material, TELEQNA } from './material.js';
import { PLUS } from './models.js';
import { taskLabel } from './words.js';

/** What a report is made of. */
export interface Comparison {
  /** Every router with the same seeds. */
  readonly results: readonly ModelResult[];
  readonly material: Material;
  /** Of the first model. */
  readonly config: RunConfig;
  /** Questions of each file; null if all were asked. */
  readonly limit: number | null;
  /** Of the training of a base model. */
  readonly hours: number;
  readonly machine: string;
  readonly command: string;
}

/** A task by router: before and after fine-tuning, and the standard error of the latter. */
type TaskScores = {
  readonly [router in VariantId]?: {
    readonly before: number;
    readonly after: number;
    readonly standardError: number | null;
  };
};

/** The file `fine-tuning.json`. Scores are shares of the questions. */
export interface Headline {
  /** By task; scored by continuation, if the name does not say by letter. */
  readonly tasks: Readonly<Record<string, TaskScores & { readonly n: number; readonly chance: number }>>;
  /** Log-likelihood of the right answer in nats per character, in the cloze per token. */
  readonly likelihoods: Readonly<Record<string, TaskScores & { readonly n: number }>>;
  /** Against the baseline after fine-tuning. */
  readonly differences: readonly (Difference & {
    readonly task: string;
    readonly measure: string;
    readonly router: VariantId;
  })[];
  /** The task of the next one: TeleQnA, or without it the cloze. */
  readonly headlineTask: string;
  /** `locmoe-plus` against the baseline, as a share of the questions; null if one of them is missing. */
  readonly plusVsBaseline: Difference | null;
  readonly base: {
    readonly recipe: string;
    readonly parameters: number;
    readonly steps: number;
    readonly tokens: number;
    /** Of one model. */
    readonly hours: number;
  };
  readonly tuning: { readonly samples: number; readonly steps: number; readonly tokens: number };
  readonly seeds: readonly number[];
  /** Questions of each file, if not all were asked: not for reporting. */
  readonly limit: number | null;
  readonly machine: string;
  readonly command: string;
}

export function headlineOf(figures: readonly MeasureFigures[], comparison: Comparison): Headline {
  const { results, material, config, hours, limit, machine, command } = comparison;
  const [{ base, tuned }] = results;
  const scored = figures.filter(({ measure }) => measure !== 'likelihood');
  const likelihoods = figures.filter(({ measure }) => measure === 'likelihood');
  const headlineTask = figures.some(({ task }) => task === TELEQNA) ? TELEQNA : CLOZE;
  const plus = scored
    .find(({ task, measure }) => task === headlineTask && measure === 'continuation')!
    .routers.find(({ router }) => router === PLUS)?.againstBaseline;
  return {
    tasks: Object.fromEntries(
      scored.map((each) => [taskLabel(each), { n: each.n, chance: each.chance, ...scoresOf(each) }]),
    ),
    likelihoods: Object.fromEntries(likelihoods.map((each) => [each.task, { n: each.n, ...scoresOf(each) }])),
    differences: figures.flatMap(({ task, measure, routers }) =>
      routers.flatMap(({ router, againstBaseline }) =>
        againstBaseline === null ? [] : [{ task, measure, router, ...againstBaseline }],
      ),
    ),
    headlineTask,
    plusVsBaseline: plus ?? null,
    base: {
      recipe: config.name,
      parameters: parameterCounts(config).model,
      steps: base.steps,
      tokens: base.tokens,
      hours,
    },
    tuning: { samples: material.samples.length, steps: tuned.steps, tokens: tuned.tokens },
    seeds: [...new Set(results.map(({ seed }) => seed))],
    limit,
    machine,
    command,
  };
}

function scoresOf({ routers }: MeasureFigures): TaskScores {
  return Object.fromEntries(
    routers.map(({ router, before, after }) => [
      router,
      { before: before.value, after: after.value, standardError: after.stderr },
    ]),
  );
}
