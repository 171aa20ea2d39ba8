import { meanLoss, readRecords } from '@locmoe/run-format';
import { loadConfig } from 'locmoe/internal/config/resolve';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { VARIANTS } from '../routers/variants.js';
import { runTraining, type TrainingOptions } from '../training.js';
import type { Model } from './models.js';

/**
 * Two ranks of one node, for two cores; level 1 off, as in the recipes that compare routers, so that fine-tuning is of all
 * experts.
 */
const SETTINGS = [
  ...['cluster.nodes=1', 'cluster.workersPerNode=2', 'moe.expertGroups=1', 'train.precision=auto'],
  'train.keepCheckpoints=1',
];
/** Tokens that hold most questions with answer and explanation. */
const WINDOW_TOKENS = 128;
/** Validations of a base model. */
const POINTS = 6;
/** Name of the domain, and of the file, of what is learned in fine-tuning. */
export const SAMPLES_DOMAIN = 'telecom-qa';
/** Questions and answers as an evaluation by continuation writes them. */
const TEMPLATE = { user: { prefix: 'Question: ', suffix: '\n' }, assistant: { prefix: 'Answer:' } };

export interface BaseOptions {
  /** Recipe or config file. */
  readonly config: string;
  readonly set: readonly string[];
  /** Steps of a base model. */
  readonly steps: number;
}

/** A finished training. */
export interface Training {
  /** Its run folder. */
  readonly checkpoint: string;
  readonly steps: number;
  readonly tokens: number;
  /** Of these, those of answers, in fine-tuning. */
  readonly answerTokens: number;
  /** Of the last validation. */
  readonly loss: number | null;
}

export interface BaseSettings {
  readonly sets: readonly string[];
  readonly config: RunConfig;
}

/** @throws TrainerError `BAD_CONFIG` */
export function baseSettings({ config, set, steps }: BaseOptions, { router, seed }: Model): BaseSettings {
  const sets = [
    ...SETTINGS,
    ...widerWindow(loadConfig(config, { sets: [] })),
    ...set,
    ...VARIANTS[router].sets,
    ...[`seed=${seed}`, `train.steps=${steps}`, `train.checkpointEvery=${steps}`],
    `train.validateEvery=${Math.ceil(steps / POINTS)}`,
  ];
  const { warmupSteps } = loadConfig(config, { sets }).train;
  const all = [...sets, `train.warmupSteps=${Math.min(warmupSteps, Math.floor(steps / 2))}`];
  return { sets: all, config: loadConfig(config, { sets: all }) };
}

/** As many tokens a step as the recipe has. */
function widerWindow({ model, train }: RunConfig): string[] {
  const factor = WINDOW_TOKENS / model.seqLen;
  if (factor <= 1) return [];
  return [`model.seqLen=${WINDOW_TOKENS}`, `train.globalBatch=${Math.round(train.globalBatch / factor)}`];
}

/** Overrides of the recipe of `locmoe train --instruct`: every model learns from as many tokens. */
export function tuningSets({ cluster }: RunConfig, steps: number): string[] {
  return [
    ...[`cluster.nodes=${cluster.nodes}`, `cluster.workersPerNode=${cluster.workersPerNode}`],
    ...['train.earlyStop=null', 'train.keepCheckpoints=1'],
    `data.sources.${SAMPLES_DOMAIN}.instruct.template=${JSON.stringify(TEMPLATE)}`,
    ...[`train.steps=${steps}`, `train.warmupSteps=${Math.floor(steps / 10)}`],
  ];
}

/** @throws TrainerError as `runTraining` */
export async function train(options: TrainingOptions): Promise<Training> {
  const run = await runTraining(options);
  const records = readRecords(run.metrics);
  const steps = records.filter((record) => record.type === 'step');
  const validation = records.filter((record) => record.type === 'validation').at(-1);
  return {
    checkpoint: run.directory,
    steps: steps.length,
    tokens: steps.reduce((sum, { tokens }) => sum + tokens, 0),
    answerTokens: steps.reduce((sum, { answerTokens = 0 }) => sum + answerTokens, 0),
    loss: validation === undefined ? null : meanLoss(validation),
  };
}
