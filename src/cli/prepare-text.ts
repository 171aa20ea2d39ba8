import path from 'node:path';
import type { ConfigOverrides } from '../config/document.js';
import type { RunConfig } from '../config/schema.js';
import { resolveRecipe, type TextRecipe, textRecipe } from '../config/text-recipe.js';
import { CORPUS_DIR } from '../data/corpora.js';
import { type Dataset, tokensToTrainOn } from '../data/dataset.js';
import { prepareAside } from '../data/prepare-aside.js';
import { preparationViewOn } from './preparation-view.js';

/** The data of a configuration, prepared as a training would; how far it is goes to stderr. */
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

/** The recipe for text files, as long as the tokens ask for that are left of them without duplicates. */
export async function prepareText(
  patterns: readonly string[],
  overrides: ConfigOverrides,
  dataDir: string,
): Promise<{ readonly recipe: TextRecipe; readonly config: RunConfig; readonly dataset: Dataset }> {
  const dataset = await prepareData(resolveRecipe(textRecipe(patterns), overrides), dataDir);
  const recipe = textRecipe(patterns, tokensToTrainOn(dataset));
  return { recipe, config: resolveRecipe(recipe, overrides), dataset };
}
