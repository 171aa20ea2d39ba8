import type { Command } from 'commander';
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
    .action(async (options: TrainOptions) => {
      // Loaded when needed: `--help` should not wait for gRPC and what else a run takes.
      const { train } = await import('../local-run.js');
      process.exitCode = await train(options);
    });
}
