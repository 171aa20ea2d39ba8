import path from 'node:path';
import { configAtHand } from '../checkpoint/checkpoint.js';
import type { ConfigOverrides } from '../config/document.js';
import { type Recipe, resolveRecipe } from '../config/recipe.js';
import type { RunConfig } from '../config/schema.js';
import { textRecipe } from '../config/text-recipe.js';
import type { PlanSettings } from '../coordinator/planning/run-options.js';
import { CORPUS_DIR } from '../data/built-in/corpora.js';
import { type Dataset, tokensToTrainOn } from '../data/dataset.js';
import { prepareAside } from '../data/prepare/prepare-aside.js';
import { TrainerError } from '../errors.js';
import type { Inference } from '../inference/inference.js';
import { preparationViewOn } from './preparation-view.js';

/** How the progress of a preparation is shown, by default on standard error, and what ends it. */
type Preparation = Pick<PlanSettings, 'say' | 'progress'> & { readonly signal?: AbortSignal | undefined };

/**
 * Prepares the data of a configuration as a training run would.
 *
 * @param modelTokenizer tokenizer of the model that is evaluated on the data
 */
export function prepareData(
  { data, model }: Pick<RunConfig, 'data' | 'model'>,
  dataDir: string,
  { say, progress, signal }: Preparation = preparationViewOn(process.stderr),
  modelTokenizer?: string,
): Promise<Dataset> {
  return prepareAside({
    ...data,
    dataDir: path.resolve(dataDir),
    corpusDir: CORPUS_DIR,
    vocabSize: model.vocabSize,
    modelTokenizer,
    log: say,
    progress,
    signal,
  });
}

/** Returns the recipe for text files, its length adjusted to the tokens that remain without duplicates. */
export async function prepareText(
  patterns: readonly string[],
  overrides: ConfigOverrides,
  dataDir: string,
  view?: Preparation,
): Promise<{ readonly recipe: Recipe; readonly config: RunConfig; readonly dataset: Dataset }> {
  const dataset = await prepareData(resolveRecipe(textRecipe(patterns), overrides), dataDir, view);
  const recipe = textRecipe(patterns, tokensToTrainOn(dataset));
  return { recipe, config: resolveRecipe(recipe, overrides), dataset };
}

/**
 * Opens the text that a checkpoint was trained on, and prepares it again if it is not in the folder.
 *
 * @throws TrainerError `BAD_CHECKPOINT` if the text has another tokenizer now
 */
export async function openText(
  { checkpoint, config: { model } }: Pick<Inference, 'checkpoint' | 'config'>,
  dataDir: string,
  view?: Preparation,
): Promise<Dataset> {
  const { data } = configAtHand(checkpoint);
  const dataset = await prepareData({ data, model }, dataDir, view, checkpoint.tokenizerFile);
  const { tokenizerSha256 } = checkpoint.manifest;
  if (dataset.tokenizerSha256 !== tokenizerSha256)
    throw new TrainerError(
      'BAD_CHECKPOINT',
      `checkpoint ${checkpoint.folder} was trained with tokenizer ${tokenizerSha256.slice(0, 12)}, the data in ${dataset.dir} uses ${dataset.tokenizerSha256.slice(0, 12)}`,
    );
  return dataset;
}
