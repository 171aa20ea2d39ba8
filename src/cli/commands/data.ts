import { type Command, Option } from 'commander';
import type { InspectOptions } from '../data-inspection.js';
import { collect } from './options.js';

/** `locmoe data`: inspects the data that a training run would read. */
export function dataCommand(command: Command): void {
  command
    .command('inspect')
    .description(
      'show the text of a configuration by domain: documents, tokens, near-duplicates, splits, the longest documents and a sample; prepares it if need be',
    )
    .option('--config <file|recipe>', 'a YAML file, or a recipe by name')
    .addOption(
      new Option('--text <pattern...>', 'files, with the recipe that `train --text` would take').conflicts(
        'config',
      ),
    )
    .option('--set <key=value>', 'override a field; repeat for several', collect, [])
    .option('--data-dir <dir>', 'folder for prepared datasets', 'data')
    .option('--json', 'print JSON')
    .action(async (options: InspectOptions) => {
      const { inspectData } = await import('../data-inspection.js');
      await inspectData(options);
    });
}
