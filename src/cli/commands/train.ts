import type { Command } from 'commander';
import { assertHasWeights, overridesOf } from '../../coordinator/planning/run-options.js';
import { TrainerError } from '../../errors.js';
import type { TrainOptions } from '../local-run.js';
import { wholeNumber } from './options.js';
import { addTrainingOptions } from './training-options.js';

/** `locmoe train`: starts a coordinator, node agents and workers on this machine and follows the run. */
export function trainCommand(command: Command): void {
  addTrainingOptions(command)
    .option(
      '--port <n>',
      'port of the coordinator on 127.0.0.1; 0 takes a free one',
      wholeNumber(0, 65_535),
      0,
    )
    .option(
      '--token-file <file>',
      'file with the token that guards the run and its page, e.g. for a Prometheus that scrapes run after run (default: a new one, kept in the folder of the run)',
    )
    .option('--print-config', 'with --text or --instruct: print its recipe, to save and go on with, and end')
    .action(async ({ printConfig, ...options }: TrainOptions & { readonly printConfig?: true }) => {
      if (printConfig) return printRecipe(options);
      // `--help` should not wait for gRPC and the other imports of a run.
      const { train } = await import('../local-run.js');
      process.exitCode = await train(options);
    });
}

async function printRecipe(options: TrainOptions): Promise<void> {
  const { text, instruct, init, inherit } = options;
  const overrides = overridesOf(options);
  assertHasWeights(options);
  if (text !== undefined) {
    if ((init ?? inherit) !== undefined)
      throw new TrainerError(
        'BAD_INPUT',
        '--print-config with --text prints the recipe of a new model; `locmoe config show --checkpoint DIR` prints that of the ' +
          'weights of --init and --inherit',
      );
    const { recipeFile } = await import('../../config/recipe.js');
    const { prepareText } = await import('../../coordinator/planning/prepare-text.js');
    const { preparationViewOn } = await import('../preparation-view.js');
    const view = preparationViewOn(process.stderr);
    const { recipe, dataset } = await prepareText(text, overrides, options.dataDir, view);
    dataset.close();
    console.log(recipeFile(recipe, overrides).trimEnd());
    return;
  }
  if (instruct === undefined || init === undefined)
    throw new TrainerError(
      'BAD_INPUT',
      '--print-config is for --text and --instruct; `locmoe config show --config NAME` prints any other configuration',
    );
  const { openCheckpoint } = await import('../open-checkpoint.js');
  const { placeOf } = await import('../../coordinator/planning/run-origin.js');
  const { instructRecipe } = await import('../../config/instruct-recipe.js');
  const { recipeFile } = await import('../../config/recipe.js');
  const { manifest } = openCheckpoint(placeOf(init, options.runsDir));
  console.log(recipeFile(instructRecipe(instruct, manifest.config), overrides).trimEnd());
}
