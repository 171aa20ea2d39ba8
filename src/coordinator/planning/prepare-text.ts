import path from 'node:path';
import type { ConfigOverrides } from '../../config/document.js';
import { type Recipe, resolveRecipe } from '../../config/recipe.js';
import type { RunConfig } from '../../config/schema.js';
import { textRecipe } from '../../config/text-recipe.js';
import { CORPUS_DIR } from '../../data/built-in/corpora.js';
import { type Dataset, tokensToTrainOn } from '../../data/dataset.js';
import { prepareAside } from '../../data/prepare/prepare-aside.js';
import type { PlanSettings } from './run-options.js';

/** How the progress of a preparation is shown, and what ends it. */
export type Preparation = Pick<PlanSettings, 'say' | 'progress' | 'signal'>;

/** @param modelTokenizer tokenizer of the model that is to be trained further or evaluated on the data */
export function prepareData(
  { data, model }: Pick<RunConfig, 'data' | 'model'>,
  dataDir: string,
  { say, progress, signal }: Preparation,
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
  view: Preparation,
): Promise<{ readonly recipe: Recipe; readonly config: RunConfig; readonly dataset: Dataset }> {
  const dataset = await prepareData(resolveRecipe(textRecipe(patterns), overrides), dataDir, view);
  const recipe = textRecipe(patterns, tokensToTrainOn(dataset));
  return { recipe, config: resolveRecipe(recipe, overrides), dataset };
}
