import { type Command, Option } from 'commander';
import { type Checkpoint, resolveCheckpoint } from 'locmoe/internal/checkpoint/checkpoint';
import type { ExportPackage } from 'locmoe/internal/cli/packages';
import { TrainerError } from 'locmoe/internal/errors';
import { formatTable } from 'locmoe/internal/format';
import { VERSION } from 'locmoe/internal/rpc/version';
import { type OutputFolder, writeFolder } from './output-folder.js';
import { sizeOfSubModel, writeSubModel } from './sub-model.js';
import { WEIGHT_TYPES, type WeightType } from './target.js';
import { TARGETS } from './targets.js';

interface ExportOptions {
  readonly checkpoint: string;
  readonly to?: string;
  readonly subModel?: true;
  readonly domain?: string;
  readonly output: string;
  readonly dtype: WeightType;
}

/** `locmoe export`: the model of a checkpoint in the format of another program. */
export const exportCommand: ExportPackage['exportCommand'] = (command: Command) => {
  const targets = Object.entries(TARGETS).map(([name, { description }]) => `${name}: ${description}`);
  command
    .requiredOption('--checkpoint <dir>', 'a step folder, or a run folder for its newest checkpoint')
    .addOption(new Option('--to <format>', targets.join('; ')).choices(Object.keys(TARGETS)))
    .option(
      '--sub-model',
      'in place of --to: the part of the model that one domain uses, as a checkpoint of its own',
    )
    .option('--domain <name>', 'the domain of --sub-model')
    .requiredOption(
      '--output <dir>',
      'the folder to write; an earlier export there is replaced, if nothing was added or changed',
    )
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
  const { checkpoint: place, output: folder } = options;
  const { to, about, write } = writerOf(options);
  const checkpoint = resolveCheckpoint(place, (warning) => console.error(`locmoe: ${warning}`));
  const { runId, step } = checkpoint.manifest;
  const files = await writeFolder(folder, (output) => write(checkpoint, output), {
    locmoe: VERSION,
    to,
    runId,
    step,
  });
  console.log(`${folder}: the model of ${checkpoint.folder}, step ${step}`);
  for (const line of about(checkpoint)) console.log(line);
  console.log(formatTable(files.map(({ name, bytes }) => [name, formatBytes(bytes)])));
}

interface Writer {
  /** Name of the target in export.json. */
  readonly to: string;
  /** Lines to print beside the files and their sizes. */
  readonly about: (checkpoint: Checkpoint) => readonly string[];
  readonly write: (checkpoint: Checkpoint, output: OutputFolder) => Promise<void>;
}

/** @throws TrainerError `BAD_INPUT` if options do not go together, `BAD_CONFIG` for a type that a format has not */
function writerOf({ to, subModel, domain, dtype }: ExportOptions): Writer {
  if ((to === undefined) !== (subModel === true))
    throw new TrainerError(
      'BAD_INPUT',
      `give one of --to FORMAT (${Object.keys(TARGETS).join(', ')}) and --sub-model`,
    );
  if ((domain === undefined) === (subModel === true))
    throw new TrainerError(
      'BAD_INPUT',
      subModel ? '--sub-model: say of which domain with --domain NAME' : '--domain is for --sub-model alone',
    );
  const target = to === undefined ? null : TARGETS[to]!;
  const given = to === undefined ? '--sub-model' : `--to ${to}`;
  if (dtype !== 'float32' && !target?.takesDtype)
    throw new TrainerError('BAD_CONFIG', `--dtype ${dtype}: ${given} writes float32 only; leave it out`);
  if (to !== undefined && target !== null)
    return { to, about: () => [], write: (checkpoint, output) => target.write(checkpoint, output, dtype) };
  return {
    to: 'sub-model',
    about: ({ manifest }) => [sizeOfSubModel(manifest.config, domain!)],
    write: (checkpoint, output) => writeSubModel(checkpoint, output, domain!),
  };
}

function formatBytes(bytes: number): string {
  if (bytes < 1e3) return `${bytes} B`;
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
