import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { meanLoss, type RunFolder, readRecords } from '@locmoe/run-format';
import { loadConfig } from 'locmoe/internal/config/resolve';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { TrainerError } from 'locmoe/internal/errors';
import { parameterCounts } from 'locmoe/internal/model/parameter-counts';
import { count, SET, text, words } from '../kit/options.js';
import { Parts, type TrainingPart } from '../kit/parts.js';
import { study } from '../kit/study.js';
import { type Answers, answersOf } from './answers.js';
import { type Figures, figuresOf, type Model, type ModelResult, PLUS, type Training } from './figures.js';
import { describeMaterial, materialOf } from './material.js';
import { reportOf } from './report.js';
import { BASELINE, ROUTERS } from './routers.js';

const ROUTER_IDS = ROUTERS.map(({ id }) => id);
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
const SAMPLES_DOMAIN = 'telecom-qa';
/** Questions and answers as an evaluation by continuation writes them. */
const TEMPLATE = { user: { prefix: 'Question: ', suffix: '\n' }, assistant: { prefix: 'Answer:' } };
/** Cloze questions of each domain. */
const CLOZE_QUESTIONS = { all: 256, quick: 32 } as const;
/** Questions of each file with `--quick`. */
const QUICK_LIMIT = 40;

export default study({
  name: 'fine-tuning',
  description:
    'train a model with each router, fine-tune it on telecom questions and answers, and ask before and after what was held out: TeleQnA, OpsEval, hamexam and fccexam where they are at hand, and a cloze; all models take 6 GB',
  quick: `two routers, few steps, ${QUICK_LIMIT} questions of each file`,
  options: {
    // 20 million tokens of the large corpus, which does not repeat by then; then three times half of TeleQnA.
    config: text('<file|recipe>', 'the base models', 'routers-large', 'tiny'),
    set: SET,
    seeds: count('models of each router', 3, { quick: 1 }),
    steps: count('steps of a base model', 1220, { quick: 30, least: 2 }),
    tuneSteps: count('steps of fine-tuning', 100, { quick: 20, least: 2 }),
    only: words(`routers, separated by commas: ${ROUTER_IDS.join(', ')}`, {
      takes: '<routers>',
      quick: [BASELINE, PLUS],
    }),
  },
  isPart: ({ only }) => only.length > 0,

  /** @throws TrainerError `BAD_CONFIG` or `BAD_INPUT` before anything is trained; as `runTraining` */
  async measure({ options, quick, workDir, dataDir }): Promise<Figures> {
    const bases = modelsOf(options.only, options.seeds).map((model) => ({
      model,
      ...baseSettings(options, model),
    }));
    const { config } = bases[0]!;
    const limit = quick ? QUICK_LIMIT : null;
    const cloze = CLOZE_QUESTIONS[quick ? 'quick' : 'all'];
    const material = await materialOf(config, { dataDir, cloze, ...(limit !== null && { limit }) });
    const { samples, asked } = material.keys;
    console.log(describeMaterial(material));
    const samplesFile = path.join(workDir, `${SAMPLES_DOMAIN}.jsonl`);
    writeFileSync(samplesFile, material.samples.map((sample) => `${JSON.stringify(sample)}\n`).join(''));
    const work = bases.map(({ model, sets, config: base }) => {
      const tuneSets = tuningSets(base, options.tuneSteps);
      const tuning = { config: base, tuneSets, samples };
      const name = (kind: string) => `${model.router}-seed${model.seed}-${kind}`;
      const after = { name: name('after'), kind: 'asked again', key: { ...tuning, asked } };
      const tuned = { name: name('tuned'), kind: 'fine-tuned', key: tuning, sets: tuneSets, usedBy: [after] };
      const before = { name: name('before'), kind: 'asked', key: { config: base, asked } };
      const usedBy = [before, tuned];
      const trained = {
        name: name('base'),
        kind: 'trained',
        key: base,
        config: options.config,
        sets,
        usedBy,
      };
      return { model, base: trained satisfies TrainingPart, before, tuned, after };
    });
    const parts = new Parts(
      { workDir, dataDir },
      work.flatMap(({ base, before, tuned, after }) => [base, before, tuned, after]),
    );
    const results: ModelResult[] = [];
    for (const { model, ...part } of work) {
      const base = await parts.train(part.base, trainingOf);
      const before = await parts.do<Answers>(part.before, () => answersOf(base.checkpoint, material));
      const more = ['--instruct', samplesFile, '--init', base.checkpoint];
      const tuned = await parts.train(part.tuned, trainingOf, more);
      const after = await parts.do<Answers>(part.after, () => answersOf(tuned.checkpoint, material));
      results.push({ ...model, base, before, tuned, after });
    }
    return figuresOf(results, {
      recipe: config.name,
      parameters: parameterCounts(config).model,
      window: config.model.seqLen,
      hours: parts.meanSeconds('trained') / 3600,
      samples: material.samples.length,
      material: describeMaterial(material),
      limit,
    });
  },

  report: reportOf,
});

/**
 * All routers of a seed, then those of the next.
 *
 * @param only routers; empty for all
 * @throws TrainerError `BAD_INPUT` naming an unknown one
 */
export function modelsOf(only: readonly string[], numSeeds: number): Model[] {
  const unknown = only.find((word) => !ROUTER_IDS.includes(word));
  if (unknown !== undefined)
    throw new TrainerError('BAD_INPUT', `--only ${unknown}: expected one of ${ROUTER_IDS.join(', ')}`);
  const routers = only.length === 0 ? ROUTER_IDS : ROUTER_IDS.filter((router) => only.includes(router));
  return Array.from({ length: numSeeds }, (_, i) =>
    routers.map((router): Model => ({ router, seed: i + 1 })),
  ).flat();
}

interface BaseOptions {
  readonly config: string;
  readonly set: readonly string[];
  readonly steps: number;
}

/** @throws TrainerError `BAD_CONFIG` */
function baseSettings({ config, set, steps }: BaseOptions, { router, seed }: Model) {
  const sets = [
    ...SETTINGS,
    ...widerWindow(loadConfig(config, { sets: [] })),
    ...set,
    ...ROUTERS.find(({ id }) => id === router)!.sets,
    ...[`seed=${seed}`, `train.steps=${steps}`, `train.checkpointEvery=${steps}`],
    `train.validateEvery=${Math.ceil(steps / POINTS)}`,
  ];
  const { warmupSteps } = loadConfig(config, { sets }).train;
  const all = [...sets, `train.warmupSteps=${Math.min(warmupSteps, Math.floor(steps / 2))}`];
  return { sets: all, config: loadConfig(config, { sets: all }) };
}

/** Widens the window and keeps the tokens per step of the recipe. */
function widerWindow({ model, train }: RunConfig): string[] {
  const factor = WINDOW_TOKENS / model.seqLen;
  if (factor <= 1) return [];
  return [`model.seqLen=${WINDOW_TOKENS}`, `train.globalBatch=${Math.round(train.globalBatch / factor)}`];
}

/** Overrides of the recipe of `locmoe train --instruct`: every model learns from as many tokens. */
function tuningSets({ cluster }: RunConfig, steps: number): string[] {
  return [
    ...[`cluster.nodes=${cluster.nodes}`, `cluster.workersPerNode=${cluster.workersPerNode}`],
    ...['train.earlyStop=null', 'train.keepCheckpoints=1'],
    `data.sources.${SAMPLES_DOMAIN}.instruct.template=${JSON.stringify(TEMPLATE)}`,
    ...[`train.steps=${steps}`, `train.warmupSteps=${Math.floor(steps / 10)}`],
  ];
}

function trainingOf({ metrics, directory }: RunFolder): Training {
  const records = readRecords(metrics);
  const steps = records.filter((record) => record.type === 'step');
  const validation = records.filter((record) => record.type === 'validation').at(-1);
  return {
    checkpoint: directory,
    steps: steps.length,
    tokens: steps.reduce((sum, { tokens }) => sum + tokens, 0),
    answerTokens: steps.reduce((sum, { answerTokens = 0 }) => sum + answerTokens, 0),
    loss: validation === undefined ? null : meanLoss(validation),
  };
}
