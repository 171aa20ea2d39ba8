import { availableParallelism } from 'node:os';
import path from 'node:path';
import { DOMAINS } from '../data/built-in/sources.js';
import { listFiles } from '../data/read/source-files.js';
import { DOMAIN_NAME, textBytes, textSourceSchema } from '../data/read/text-source.js';
import { templateOf, templateSchema } from '../data/template.js';
import { heldExperts } from '../routing/index.js';
import { assertPatterns, floorTo2, paceOf, type Recipe, roundTo2, runNameOf, yamlOf } from './recipe.js';
import type { RunConfig } from './schema.js';
import { bytesPerTokenOf } from './text-recipe.js';

const LEAST_STEPS = 200;
const EPOCHS = 3;
const VALIDATION_SHARE = 0.1;
/** Minimum number of sequences that can decide when to stop, even if they exceed their share of the time. */
const LEAST_VALIDATION = 64;
/** Fraction of the learning rate that the weights were trained with, so that they keep what they know. */
const RATE = 1 / 3;

/**
 * Makes a recipe from the size of the files and the model of a checkpoint.
 *
 * @param patterns names or glob patterns, relative to the working folder
 * @param weights configuration of the checkpoint
 * @throws TrainerError `BAD_INPUT` if a pattern matches nothing
 */
export function instructRecipe(patterns: readonly string[], weights: RunConfig): Recipe {
  assertPatterns('--instruct', patterns);
  const folder = process.cwd();
  const domain = sampleDomainOf(patterns);
  const { model, moe, data, train } = weights;
  const known = data.domains.map((_, id) => templateOf(data, id)).find((each) => each !== null);
  const source = {
    folder,
    files: patterns,
    instruct: { template: known ?? templateSchema.parse({}) },
  };
  const files = listFiles(domain, textSourceSchema.parse(source));
  const bytes = files.reduce((sum, file) => sum + textBytes(file, { format: 'jsonl' }), 0);
  // Each group of experts belongs to a domain, so the answers are given to every domain.
  const domains = moe.expertGroups === 1 ? [domain] : data.domains.map((name) => `${name.slice(0, 37)}-qa`);
  const tokens = (domains.length * (1 - VALIDATION_SHARE) * bytes) / bytesPerTokenOf(model.vocabSize);
  const sequences = tokens / model.seqLen;
  const globalBatch = floorTo2(Math.min(train.globalBatch, Math.max(8, sequences / 8)));
  const steps = Math.max(LEAST_STEPS, roundTo2((EPOCHS * sequences) / globalBatch));
  const learningRate = roundTo2(RATE * train.learningRate);
  const config = {
    name: runNameOf(domain),
    seed: weights.seed,
    model,
    moe,
    data: { domains: domains.map((name) => ({ [name]: source })), validationShare: VALIDATION_SHARE },
    train: {
      ...train,
      ...paceOf(steps, globalBatch, LEAST_VALIDATION),
      microBatches: 1,
      maxTokens: null,
      maxHours: null,
      freeze: [],
      only: null,
      lora: null,
      schedule: 'cosine',
      learningRate,
      endLearningRate: roundTo2(learningRate / 10),
      earlyStop: { patience: 4 },
    },
    cluster: { nodes: 1, workersPerNode: workersFor(globalBatch, heldExperts(moe).count) },
  };
  return { option: '--instruct', yaml: yamlOf(config), numFiles: files.length, bytes };
}

/** Names the run and its domain after the first file, if that is a valid name of a domain. */
export function sampleDomainOf([first = '']: readonly string[]): string {
  const name = path.basename(first).split('.')[0]!;
  return DOMAIN_NAME.test(name) && !DOMAINS.includes(name) ? name : 'qa';
}

/** Returns the number of workers: one per processor, with equal shares of the sequences and experts. */
function workersFor(globalBatch: number, numExperts: number): number {
  let workers = floorTo2(Math.min(availableParallelism(), globalBatch));
  while (numExperts % workers !== 0) workers /= 2;
  return workers;
}
