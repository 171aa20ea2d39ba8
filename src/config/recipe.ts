import { stringify } from 'yaml';
import { TrainerError } from '../errors.js';
import { formatNumberOf, formatSize } from '../format.js';
import { type ConfigOverrides, readSource } from './document.js';
import { resolveConfig } from './resolve.js';
import type { RunConfig } from './schema.js';

/** Maximum share of the training time that validations take. */
const VALIDATION_SHARE_OF_TIME = 0.1;
/** Approximate share of the time of a step that the forward pass of its batch takes. */
const FORWARD_SHARE_OF_STEP = 1 / 3;
/** Writes out parts that a recipe has twice, such as the files of several domains. */
const WITHOUT_ALIASES = { aliasDuplicateObjects: false };

/** A configuration for files alone, as a user would write it. */
export interface Recipe {
  /** The option for which the recipe was made; messages name it. */
  readonly option: '--text' | '--instruct';
  readonly yaml: string;
  readonly numFiles: number;
  /** Bytes of text; an estimate for compressed files. */
  readonly bytes: number;
}

/** @throws TrainerError `BAD_INPUT` if a pattern is empty */
export function assertPatterns(option: string, patterns: readonly string[]): void {
  if (patterns.includes('')) throw new TrainerError('BAD_INPUT', `${option}: a pattern is empty`);
}

export function yamlOf(config: unknown): string {
  return stringify(config, WITHOUT_ALIASES);
}

/**
 * @param weights configuration of a checkpoint whose weights the run starts with; its model replaces the recipe's
 * @throws TrainerError `BAD_CONFIG` if overrides, or the model of the weights, do not fit
 */
export function resolveRecipe(
  { option, yaml }: Recipe,
  overrides: ConfigOverrides,
  weights: Pick<RunConfig, 'model' | 'moe' | 'train'> | null = null,
): RunConfig {
  const label = `recipe of ${option}`;
  if (weights === null) return resolveConfig(yaml, label, overrides);
  const { model, moe } = weights;
  const own = resolveConfig(yaml, label);
  // Pretrained weights need a lower learning rate than new weights, or they forget what they know.
  const slower = (rate: 'learningRate' | 'endLearningRate') => Math.min(own.train[rate], weights.train[rate]);
  const train = {
    ...own.train,
    learningRate: slower('learningRate'),
    endLearningRate: slower('endLearningRate'),
  };
  return resolveConfig(JSON.stringify({ ...own, model, moe, train }), label, overrides);
}

/**
 * Returns the recipe with overrides, as a configuration file to edit.
 *
 * @throws TrainerError `BAD_CONFIG` if they do not fit
 */
export function recipeFile(recipe: Recipe, overrides: ConfigOverrides): string {
  resolveRecipe(recipe, overrides);
  const { option, yaml, numFiles, bytes } = recipe;
  const { value } = readSource(yaml, `recipe of ${option}`, overrides);
  const of = option === '--text' ? 'text.' : 'samples; use it with --init.';
  return `# Made by ${option} for ${formatNumberOf(numFiles, 'file')} with ${formatSize(bytes)} of ${of}\n${yamlOf(value)}`;
}

/** Returns the fields of `train:` that follow from the number of steps. */
export function paceOf(steps: number, globalBatch: number, leastValidation = 0) {
  const validateEvery = Math.min(500, Math.ceil(steps / 8));
  // Maximum number of sequences that keeps validations within their share of the time. It nearly always exceeds the
  // held-out text, which is then read completely, so that two validations differ by the model alone.
  const batches = Math.floor((VALIDATION_SHARE_OF_TIME * validateEvery) / FORWARD_SHARE_OF_STEP);
  return {
    steps,
    globalBatch,
    warmupSteps: Math.min(500, Math.round(steps / 10)),
    validateEvery,
    validationSequences: Math.max(leastValidation, Math.max(1, batches) * globalBatch),
    checkpointEvery: Math.min(1000, Math.ceil(steps / 4)),
  };
}

export function runNameOf(domain: string): string {
  const name = domain
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '');
  return name === '' ? 'text' : name;
}

/** Rounds to two significant digits: 1234 -> 1200. */
export function roundTo2(value: number): number {
  return Number(value.toPrecision(2));
}

/** Returns the greatest power of two that is at most `value`; powers of two divide batches and experts evenly. */
export function floorTo2(value: number): number {
  return 2 ** Math.floor(Math.log2(value));
}
