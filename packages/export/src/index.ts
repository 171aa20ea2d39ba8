import { type Command, Option } from 'commander';
import { resolveCheckpoint } from 'locmoe/checkpoint/checkpoint';
import type { ExportPackage } from 'locmoe/cli/packages';
import { TrainerError } from 'locmoe/errors';
import { formatTable } from 'locmoe/format';
import { VERSION } from 'locmoe/rpc/version';
import { EXPORT_FILE, writeFolder } from './output-folder.js';
import { WEIGHT_TYPES, type WeightType } from './target.js';
import { TARGETS } from './targets.js';

interface ExportOptions {
  readonly checkpoint: string;
  readonly to: string;
  readonly output: string;
  readonly dtype: WeightType;
}

/** `locmoe export`: the model of a checkpoint in the format of another program. */
export const exportCommand: ExportPackage['exportCommand'] = (command: Command) => {
  const targets = Object.entries(TARGETS).map(([name, { description }]) => `${name}: ${description}`);
  command
    .requiredOption('--checkpoint <dir>', 'a step folder, or a run folder for its newest checkpoint')
    .addOption(
      new Option('--to <format>', targets.join('; ')).choices(Object.keys(TARGETS)).makeOptionMandatory(),
    )
    .requiredOption('--output <dir>', 'the folder to write; an earlier export there is replaced')
    .addOption(
      new Option(
        '--dtype <type>',
        'of the weights; bfloat16 takes half the space, and only huggingface has it',
      )
        .choices(WEIGHT_TYPES)
        .default('float32'),
    )
    .action(exportCheckpoint);
};

async function exportCheckpoint(options: ExportOptions): Promise<void> {
  const { checkpoint: place, to, output: folder, dtype } = options;
  const target = TARGETS[to];
  if (dtype !== 'float32' && !target.takesDtype)
    throw new TrainerError('BAD_CONFIG', `--dtype ${dtype}: --to ${to} writes float32 only; leave it out`);
  const checkpoint = resolveCheckpoint(place, (warning) => console.error(`locmoe: ${warning}`));
  const { runId, step } = checkpoint.manifest;
  const files = await writeFolder(folder, async (output) => {
    await target.write(checkpoint, output, dtype);
    await output.write(EXPORT_FILE, `${JSON.stringify({ locmoe: VERSION, to, runId, step }, null, 1)}\n`);
  });
  console.log(`${folder}: the model of ${checkpoint.folder}, step ${step}`);
  console.log(formatTable(files.map(({ name, bytes }) => [name, formatBytes(bytes)])));
}

function formatBytes(bytes: number): string {
  if (bytes < 1e3) return `${bytes} B`;
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
