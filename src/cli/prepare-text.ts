import path from 'node:path';
import type { ConfigOverrides } from '../config/document.js';
import { type Recipe, resolveRecipe } from '../config/recipe.js';
import type { RunConfig } from '../config/schema.js';
import { textRecipe } from '../config/text-recipe.js';
import { CORPUS_DIR } from '../data/built-in/corpora.js';
import { type Dataset, tokensToTrainOn } from '../data/dataset.js';
import { prepareAside } from '../data/prepare/prepare-aside.js';
import type { TextPreparation } from './eval/open.js';
import { preparationViewOn } from './preparation-view.js';

/** Prepares the data of a configuration as a training would; by default with progress on stderr. */
export function prepareData(
  { data, model }: RunConfig,
  dataDir: string,
  { say, progress, signal }: TextPreparation = preparationViewOn(process.stderr),
): Promise<Dataset> {
  return prepareAside({
    ...data,
    dataDir: path.resolve(dataDir),
    corpusDir: CORPUS_DIR,
    vocabSize: model.vocabSize,
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
  view?: TextPreparation,
): Promise<{ readonly recipe: Recipe; readonly config: RunConfig; readonly dataset: Dataset }> {
  const dataset = await prepareData(resolveRecipe(textRecipe(patterns), overrides), dataDir, view);
  const recipe = textRecipe(patterns, tokensToTrainOn(dataset));
  return { recipe, config: resolveRecipe(recipe, overrides), dataset };
}
