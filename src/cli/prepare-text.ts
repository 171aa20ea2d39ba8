import path from 'node:path';
import type { ConfigOverrides } from '../config/document.js';
import type { RunConfig } from '../config/schema.js';
import { resolveRecipe, type TextRecipe, textRecipe } from '../config/text-recipe.js';
import { CORPUS_DIR } from '../data/corpora.js';
import { type Dataset, tokensToTrainOn } from '../data/dataset.js';
import { prepareAside } from '../data/prepare-aside.js';
import { preparationViewOn } from './preparation-view.js';

/** Prepares the data of a configuration as a training would, with progress on stderr. */
export function prepareData({ data, model }: RunConfig, dataDir: string): Promise<Dataset> {
  const view = preparationViewOn(process.stderr);
  return prepareAside({
    ...data,
    dataDir: path.resolve(dataDir),
    corpusDir: CORPUS_DIR,
    vocabSize: model.vocabSize,
    log: view.say,
    progress: view.progress,
  });
}

/** Returns the recipe for text files, its length adjusted to the tokens that remain without duplicates. */
export async function prepareText(
  patterns: readonly string[],
  overrides: ConfigOverrides,
  dataDir: string,
): Promise<{ readonly recipe: TextRecipe; readonly config: RunConfig; readonly dataset: Dataset }> {
  const dataset = await prepareData(resolveRecipe(textRecipe(patterns), overrides), dataDir);
  const recipe = textRecipe(patterns, tokensToTrainOn(dataset));
  return { recipe, config: resolveRecipe(recipe, overrides), dataset };
}
