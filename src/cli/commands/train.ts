import type { Command } from 'commander';
import { overridesOf } from '../../coordinator/run-options.js';
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
    .option('--print-config', 'with --text: print its recipe, to save and go on with, and end')
    .action(async ({ printConfig, ...options }: TrainOptions & { readonly printConfig?: true }) => {
      if (printConfig) return printRecipe(options);
      // Loaded when needed: `--help` should not wait for gRPC and what else a run takes.
      const { train } = await import('../local-run.js');
      process.exitCode = await train(options);
    });
}

async function printRecipe(options: TrainOptions): Promise<void> {
  if (options.text === undefined)
    throw new TrainerError(
      'BAD_INPUT',
      '--print-config is for --text; `locmoe config show --config NAME` prints any other configuration',
    );
  const { recipeFile, textRecipe } = await import('../../config/text-recipe.js');
  console.log(recipeFile(textRecipe(options.text), overridesOf(options)).trimEnd());
}
