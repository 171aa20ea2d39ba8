import type { Command } from 'commander';
import { stringify } from 'yaml';
import { configurationPage } from '../../config/configuration-page.js';
import { editorSchema } from '../../config/reference.js';
import { loadConfig } from '../../config/resolve.js';
import { collect } from './options.js';

interface ShowOptions {
  readonly config: string;
  readonly set: readonly string[];
}

/** `locmoe config`: prints the schema, or a configuration with its defaults filled in. */
export function configCommand(command: Command): void {
  command
    .command('show')
    .description('print a configuration with overrides and all defaults filled in')
    .requiredOption('--config <file>', 'a recipe by name, or a YAML file')
    .option('--set <key=value>', 'override a field; repeatable', collect, [])
    .action(({ config, set }: ShowOptions) =>
      console.log(stringify(loadConfig(config, { sets: set })).trimEnd()),
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
