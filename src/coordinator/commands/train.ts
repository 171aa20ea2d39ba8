import type { Command } from 'commander';
import { recipeNames } from '../../config/resolve.js';
import type { TrainOptions } from '../run-plan.js';
import { collect, wholeNumber } from './options.js';

/** `locmoe train`: starts a coordinator, node agents and workers on this machine and follows the run. */
export function addTrainCommand(program: Command): void {
  program
    .command('train')
    .description(
      'train on this machine: starts the coordinator, the node agents and their workers, and follows the run',
    )
    .option('--config <file|recipe>', `a YAML file, or one of the recipes ${recipeNames().join(', ')}`)
    .option('--set <key=value>', 'override a field, e.g. train.steps=200; repeat for several', collect, [])
    .option('--nodes <n>', 'number of nodes (cluster.nodes)', wholeNumber(0))
    .option('--workers-per-node <n>', 'workers on each node (cluster.workersPerNode)', wholeNumber(0))
    .option(
      '--resume [dir]',
      'go on from a checkpoint: a run folder, a step folder, or without a value the newest run',
    )
    .option(
      '--port <n>',
      'port of the coordinator on 127.0.0.1; 0 takes a free one',
      wholeNumber(0, 65_535),
      0,
    )
    .option('--runs-dir <dir>', 'folder that holds the runs', 'runs')
    .option('--data-dir <dir>', 'folder for prepared datasets', 'data')
    .option('--no-samples', 'no generated text in the summary')
    .action(async (options: TrainOptions) => {
      // Loaded when needed: TensorFlow takes half a second, and `--help` should not wait for it.
      const { train } = await import('../local-run.js');
      process.exitCode = await train(options);
    });
}
