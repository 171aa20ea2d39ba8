import type { RunConfig } from '../config/schema.js';
import { assignments } from './training.js';

/**
 * Loads a recipe by name or a YAML or JSON file by path, fills in defaults and checks it.
 *
 * @param set fields to change, by dotted name: `{ 'train.steps': 100 }`
 * @throws TrainerError `BAD_CONFIG` listing every problem with its place
 * @example
 * ```js
 * const { model } = await loadConfig('tiny', { 'model.seqLen': 64 });
 * ```
 */
export async function loadConfig(
  source: string,
  set: Readonly<Record<string, unknown>> = {},
): Promise<RunConfig> {
  const config = await import('../config/resolve.js');
  return config.loadConfig(source, { sets: assignments(set) });
}

/**
 * Returns the names of the recipes that come with the package.
 *
 * @example
 * ```js
 * for (const name of await recipeNames()) console.log(name);
 * ```
 */
export async function recipeNames(): Promise<string[]> {
  return (await import('../config/resolve.js')).recipeNames();
}
