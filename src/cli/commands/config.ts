import type { Command } from 'commander';
import { stringify } from 'yaml';
import { configurationPage } from '../../config/configuration-page.js';
import { editorSchema } from '../../config/reference.js';
import { loadConfig, resolveConfig } from '../../config/resolve.js';
import type { RunConfig } from '../../config/schema.js';
import { TrainerError } from '../../errors.js';
import { modelOutline } from '../../model/describe.js';
import { collect } from './options.js';

interface ShowOptions {
  readonly config?: string;
  readonly checkpoint?: string;
  readonly set: readonly string[];
}

/** `locmoe config`: prints the schema, or a configuration with its defaults filled in. */
export function configCommand(command: Command): void {
  const ofOne = (name: string, description: string) =>
    command
      .command(name)
      .description(description)
      .option('--config <file>', 'a recipe by name, or a YAML file')
      .option(
        '--checkpoint <dir>',
        'in place of --config: that of a checkpoint, of a run or of a HuggingFace folder',
      )
      .option('--set <key=value>', 'override a field; repeatable', collect, []);
  ofOne('show', 'print a configuration with overrides and all defaults filled in').action(
    async (options: ShowOptions) => console.log(stringify(await shownConfig(options)).trimEnd()),
  );
  ofOne('outline', 'print what the model computes, layer by layer, with the formulas of its router').action(
    async (options: ShowOptions) => console.log(modelOutline(await shownConfig(options))),
  );
  command
    .command('schema')
    .description('print the JSON schema of a configuration, for editors')
    .action(() => console.log(JSON.stringify(editorSchema(), null, 2)));
  command
    .command('docs')
    .description('print docs/configuration.md')
    .action(() => console.log(configurationPage().trimEnd()));
}

async function shownConfig({ config, checkpoint, set }: ShowOptions): Promise<RunConfig> {
  if ((config === undefined) === (checkpoint === undefined))
    throw new TrainerError('BAD_INPUT', 'give one of --config FILE and --checkpoint DIR');
  if (config !== undefined) return loadConfig(config, { sets: set });
  const { configAtHand } = await import('../../checkpoint/checkpoint.js');
  const { openCheckpoint } = await import('../open-checkpoint.js');
  const opened = openCheckpoint(checkpoint!);
  return resolveConfig(JSON.stringify(configAtHand(opened)), opened.folder, { sets: set });
}
