import { rmSync } from 'node:fs';
import path from 'node:path';
import { listRuns, type RunFolder, runOf } from '@locmoe/run-format';
import { type Checkpoint, configAtHand, resolveCheckpoint } from '../../checkpoint/checkpoint.js';
import { assertFits, assertInheritable } from '../../checkpoint/fits.js';
import { committedFolders } from '../../checkpoint/folders.js';
import { isHuggingFace } from '../../checkpoint/huggingface/open-huggingface.js';
import { momentName } from '../../checkpoint/rank-tensors.js';
import { instructRecipe, sampleDomainOf } from '../../config/instruct-recipe.js';
import { type Recipe, resolveRecipe, runNameOf } from '../../config/recipe.js';
import { loadConfig, recipeNames, resolveConfig } from '../../config/resolve.js';
import type { RunConfig } from '../../config/schema.js';
import { textRecipe } from '../../config/text-recipe.js';
import { type Dataset, tokensToTrainOn } from '../../data/dataset.js';
import { createLoader, type Loader } from '../../data/loader.js';
import { TrainerError } from '../../errors.js';
import { assertTrainable } from '../../model/frozen.js';
import { assertComputes, elementTypeOf } from '../../ops/kernels/choose-kernels.js';
import { assertAddressSpace } from '../../os/address-space.js';
import { makeFolder, PRIVATE_FOLDER } from '../../os/make-folder.js';
import { assertNewName } from '../../run/create-run-folder.js';
import { endOf } from '../../run/run-end.js';
import { claimRun } from '../../run/run-lock.js';
import { type Adoption, adoptionOf } from './adoption.js';
import {
  describeInstruct,
  describeLength,
  describePacking,
  describeRecipe,
  describeTrained,
} from './describe-plan.js';
import {
  assertAnyMachineCanHold,
  assertMachineCanHold,
  longWarmUp,
  slowLink,
  thisMachine,
  unusedTopK,
} from './limits.js';
import { prepareData } from './prepare-text.js';
import { warnOfLosses } from './run-history.js';
import {
  assertHasWeights,
  overridesOf,
  type PlanSettings,
  type RunOptions,
  type RunPlan,
} from './run-options.js';
import { findOrigin, type RunOrigin } from './run-origin.js';

/**
 * Resolves configuration, checkpoint and data, and prepares the data unless they are cached.
 *
 * @throws TrainerError that says what is wrong with any of them
 */
export async function planRun(
  options: RunOptions,
  { nodesHere, security, say, progress, warn, signal }: PlanSettings,
): Promise<RunPlan> {
  assertHasWeights(options);
  const recipe = recipeOf(options);
  const origin = await findOrigin(
    options,
    { security, say, warn },
    (checkpoint) => startingConfig(options, checkpoint, recipe),
    (folder) => adoptable(options, folder, nodesHere),
  );
  const { checkpoint, init, adopts } = origin;
  assertMayBeNamed(options, origin);
  const configWith = (found: Recipe | null) =>
    adopts?.config ??
    withPrecision(withTokenizerOf(init, startingConfig(options, checkpoint ?? init, found)), nodesHere);
  let config = configWith(recipe);
  // This check precedes the preparation of the data, which may take long.
  assertCanBegin(options, origin, config);
  if (recipe !== null) for (const line of describeRecipe(recipe, config)) say(line);
  const instruct = init === null ? null : instructOf(options, init.manifest.config);
  if (instruct !== null) for (const line of describeInstruct(instruct, config)) say(line);
  assertTrainable(config);
  const trained = describeTrained(config);
  if (trained !== null) say(trained);
  if (nodesHere !== 'none') {
    assertComputes(config.train);
    assertAddressSpace();
    assertMachineCanHold(config, thisMachine(), warn, nodesHere === 'one' ? 1 : config.cluster.nodes);
  } else assertAnyMachineCanHold(config);
  const slow = slowLink(config.cluster);
  if (slow !== null) warn(slow);
  if (options.tensorboard !== undefined) makeFolder(options.tensorboard, '--tensorboard');
  const made = makeFolder(options.dataDir, '--data-dir');
  try {
    if (origin.resumed === null) makeFolder(options.runsDir, '--runs-dir', PRIVATE_FOLDER);
  } catch (error) {
    if (made !== undefined) rmSync(made, { recursive: true });
    throw error;
  }
  const view = { say, progress, signal };
  const dataset = await prepareData(config, options.dataDir, view, checkpoint?.tokenizerFile);
  if (recipe !== null && adopts === null) {
    const numTokens = tokensToTrainOn(dataset);
    config = configWith(textRecipe(options.text!, numTokens));
    say(describeLength(config, numTokens));
  }
  const loader = loaderOf(config, dataset);
  for (const line of describePacking(loader, config.model.seqLen)) say(line);
  if (adopts !== null) return { config, dataset, ...origin };
  assertCanBegin(options, origin, config, dataset.tokenizerSha256);
  if (config.train.routes !== 'router') {
    const { assertReplayable } = await import('../../worker/recorded-routes.js');
    await assertReplayable(config, loader, 1 + (checkpoint?.manifest.data.nextStep ?? 0));
  }
  const plan = { config, dataset, ...origin, initFrom: withInheritance(options, origin, config) };
  for (const warning of [longWarmUp(config), unusedTopK(config)]) if (warning !== null) warn(warning);
  warnOfLosses(plan, { say, warn });
  return plan;
}

/**
 * Replaces `auto` by this machine's precision if all nodes are here: a resumed run then computes as before,
 * or is refused on a processor that cannot. Nodes on other machines choose for themselves.
 */
function withPrecision(config: RunConfig, nodesHere: PlanSettings['nodesHere']): RunConfig {
  if (nodesHere !== 'all') return config;
  const { precision, device } = config.train;
  return { ...config, train: { ...config.train, precision: elementTypeOf(precision, device) } };
}

/**
 * Finds the generation of a run that may still train with the requested configuration; null if nodes end with their coordinator.
 */
function adoptable(
  options: RunOptions,
  folder: RunFolder,
  nodesHere: PlanSettings['nodesHere'],
): Adoption | null {
  if (nodesHere !== 'none') return null;
  const { config: file, text, instruct } = options;
  const overrides = overridesOf(options);
  return adoptionOf(folder, (saved) => {
    if (file !== undefined) return loadConfig(file, overrides);
    const same = resolveConfig(JSON.stringify(saved), folder.directory, overrides);
    if (instruct !== undefined) return { ...same, name: runNameOf(sampleDomainOf(instruct)) };
    // The files of `text` may have grown since, and their recipe with them, so only the recipe's name is compared.
    return text === undefined
      ? same
      : { ...same, name: startingConfig(options, null, recipeOf(options)).name };
  });
}

/**
 * Returns the folder of the newest run in `runsDir`, or of the one of this name, if a restart should resume it: its nodes may still train, or it has
 * a checkpoint and steps left to do.
 *
 * @throws TrainerError `BAD_CHECKPOINT` if none of its checkpoints can be loaded, `BAD_INPUT` if another process has
 *   taken its lock
 */
export async function unfinishedRun(
  options: RunOptions,
  nodesHere: PlanSettings['nodesHere'],
): Promise<string | null> {
  const { name, runsDir } = options;
  const newest = name === undefined ? listRuns(runsDir)[0] : (runOf(runsDir, name) ?? undefined);
  if (newest === undefined) return null;
  const { directory, checkpoints } = newest.folder;
  if (adoptable(options, newest.folder, nodesHere) !== null) return directory;
  if (committedFolders(checkpoints).length === 0) return null;
  let checkpoint: Checkpoint;
  try {
    checkpoint = resolveCheckpoint(directory, () => undefined);
  } catch (error) {
    // Another process that holds the run may have deleted the checkpoint during the read; the lock's error then says so.
    (await claimRun(newest.folder, () => undefined))();
    throw error;
  }
  const { config } = checkpoint.manifest;
  const isSame = startingConfig(options, checkpoint, recipeOf(options)).name === config.name;
  return isSame && endOf(config, checkpoint.manifest) === null ? directory : null;
}

/** Adds the inheritance to the record of a new run's initial weights. */
function withInheritance(
  { inherit, inheritNoise = 0, inheritSeed }: RunOptions,
  { initFrom }: RunOrigin,
  { seed }: RunConfig,
): RunPlan['initFrom'] {
  if (inherit === undefined || initFrom === null) return initFrom;
  return { ...initFrom, inheritance: { noise: inheritNoise, seed: inheritSeed ?? seed } };
}

/** Returns the requested configuration; by default, a resumed run keeps its checkpoint's configuration. */
function startingConfig(
  options: RunOptions,
  checkpoint: Checkpoint | null,
  recipe: Recipe | null,
): RunConfig {
  const overrides = overridesOf(options);
  if (options.config !== undefined) return loadConfig(options.config, overrides);
  const instruct = checkpoint === null ? null : instructOf(options, checkpoint.manifest.config);
  if (instruct !== null) return resolveRecipe(instruct, overrides);
  if (recipe !== null)
    return resolveRecipe(
      recipe,
      overrides,
      (options.init ?? options.inherit) === undefined ? null : checkpoint?.manifest.config,
    );
  if (checkpoint === null)
    throw new TrainerError(
      'BAD_CONFIG',
      `say what to train: --text 'FOLDER/**/*.txt', --config FILE or --config RECIPE (recipes: ${recipeNames().join(', ')}), --resume, --init, or --inherit`,
    );
  if (isHuggingFace(checkpoint.folder) && !overrides.sets?.some((set) => set.startsWith('data.')))
    throw new TrainerError(
      'BAD_CONFIG',
      `${checkpoint.folder} is a HuggingFace folder, which has no text: say what to train on with ` +
        "--text 'FOLDER/**/*.txt', --config FILE, or --set data.domains=[NAME]",
    );
  return resolveConfig(JSON.stringify(configAtHand(checkpoint)), checkpoint.folder, overrides);
}

function instructOf({ instruct }: RunOptions, weights: RunConfig): Recipe | null {
  return instruct === undefined ? null : instructRecipe(instruct, weights);
}

function recipeOf({ text }: RunOptions): Recipe | null {
  return text === undefined ? null : textRecipe(text);
}

/** Keeps the tokenizer of the weights: one trained on other text would give the same ids other meanings. */
function withTokenizerOf(init: Checkpoint | null, config: RunConfig): RunConfig {
  if (init === null || config.data.tokenizer !== 'train') return config;
  const { endOfText } = init.manifest.config.data;
  return { ...config, data: { ...config.data, tokenizer: path.resolve(init.tokenizerFile), endOfText } };
}

/** Creates a loader as every worker will, so that bad data fail before the run starts. */
function loaderOf({ data, model, train, seed }: RunConfig, dataset: Dataset): Loader {
  return createLoader({
    dataset,
    weights: data.weights,
    seed,
    globalBatch: train.globalBatch,
    seqLen: model.seqLen,
    rank: 0,
    worldSize: 1,
  });
}

function assertMayBeNamed({ name, runsDir }: RunOptions, { resumed }: RunOrigin): void {
  if (name === undefined) return;
  if (resumed !== null)
    throw new TrainerError(
      'BAD_INPUT',
      `--name ${name}: run ${resumed.folder.runId} keeps its name when it goes on; leave the option out, or start a new run with --fork`,
    );
  assertNewName(runsDir, name);
}

/** @param tokenizerSha256 undefined until the data are prepared */
function assertCanBegin(
  { inherit }: RunOptions,
  { checkpoint, init, adopts }: RunOrigin,
  config: RunConfig,
  tokenizerSha256?: string,
): void {
  if (checkpoint !== null && adopts === null) assertCanGoOn(checkpoint, config, tokenizerSha256);
  if (config.train.lora !== null && (inherit !== undefined || (checkpoint ?? init ?? adopts) === null))
    throw new TrainerError(
      'BAD_CONFIG',
      'train.lora: trains low-rank pairs beside the weights of another run; say of which with --init RUN',
    );
  if (init === null) return;
  if (inherit === undefined) assertFits(init, config, 'weights', tokenizerSha256);
  else assertInheritable(init, config, tokenizerSha256);
}

function assertCanGoOn(checkpoint: Checkpoint, config: RunConfig, tokenizerSha256?: string): void {
  assertFits(checkpoint, config, 'resume', tokenizerSha256);
  if (!Object.keys(checkpoint.manifest.tensors).some((name) => name.startsWith(momentName('m', ''))))
    throw new TrainerError(
      'BAD_CHECKPOINT',
      `checkpoint ${checkpoint.folder} has weights alone, so no run can go on from it; start one with them: --init`,
    );
  const end = endOf(config, checkpoint.manifest);
  if (end !== null)
    throw new TrainerError(
      'BAD_CONFIG',
      `${checkpoint.folder} ${end.reason}; go further with --set ${end.remedy}`,
    );
}
