import { type Command, Option } from 'commander';
import type { Checkpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { mergedCheckpoint } from 'locmoe/internal/checkpoint/merged';
import { openCheckpoint } from 'locmoe/internal/cli/open-checkpoint';
import type { ExportPackage } from 'locmoe/internal/cli/packages';
import { TrainerError } from 'locmoe/internal/errors';
import { formatTable } from 'locmoe/internal/format';
import { VERSION } from 'locmoe/internal/rpc/version';
import { gguf } from './gguf/gguf.js';
import { huggingface } from './huggingface/huggingface.js';
import { peft } from './huggingface/peft.js';
import { onnx } from './onnx/onnx.js';
import { type OutputFolder, writeFolder } from './output-folder.js';
import { sizeOfSubModel, writeSubModel } from './sub-model.js';
import { type ExportTarget, WEIGHT_TYPES, type WeightType } from './target.js';
import { web } from './web/web.js';

export { chatFeature } from './web/chat-feature.js';

/** The targets of `--to`, by name. */
const TARGETS: Readonly<Record<string, ExportTarget>> = { onnx, huggingface, peft, gguf, web };

interface ExportOptions {
  readonly checkpoint: string;
  readonly to?: string;
  readonly subModel?: true;
  readonly domain?: string;
  readonly output: string;
  readonly dtype: WeightType;
  readonly withRoutes?: boolean;
}

/** Adds `locmoe export`, which writes the model of a checkpoint in the format of another program. */
export const exportCommand: ExportPackage['exportCommand'] = (command: Command) => {
  const targets = Object.entries(TARGETS).map(([name, { description }]) => `${name}: ${description}`);
  const dtype =
    'of the weights: huggingface has float32 and bfloat16, gguf float32, float16, q8_0 (a byte each) and q4_k (half a byte), the others float32';
  const subModel = 'in place of --to: the part of the model that one domain uses, as a checkpoint of its own';
  const output = 'the folder to write; an earlier export there is replaced, if nothing was added or changed';
  command
    .requiredOption('--checkpoint <dir>', 'a step folder, or a run (its name) for its newest checkpoint')
    .addOption(new Option('--to <format>', targets.join('; ')).choices(Object.keys(TARGETS)))
    .option('--sub-model', subModel)
    .option('--domain <name>', 'the domain of --sub-model')
    .option('--with-routes', 'of web: with the text that the run routed at many steps (train.probeRoutes)')
    .requiredOption('--output <dir>', output)
    .addOption(new Option('--dtype <type>', dtype).choices(WEIGHT_TYPES).default('float32'))
    .action(exportCheckpoint);
};

async function exportCheckpoint(options: ExportOptions): Promise<void> {
  const { checkpoint: place, output: folder } = options;
  const { to, lines, write } = writerOf(options);
  const saved = openCheckpoint(place);
  const target = options.to === undefined ? null : TARGETS[options.to]!;
  const checkpoint = target?.takesPairs ? saved : mergedCheckpoint(saved);
  const { runId, step } = checkpoint.manifest;
  const about = { locmoe: VERSION, to, runId, step };
  const files = await writeFolder(folder, (output) => write(checkpoint, output), about);
  console.log(`${folder}: the model of ${checkpoint.folder}, step ${step}`);
  for (const line of lines(checkpoint)) console.log(line);
  console.log(formatTable(files.map(({ name, bytes }) => [name, formatBytes(bytes)])));
}

interface Writer {
  /** Name of the target in export.json. */
  readonly to: string;
  /** Lines to print beside the files and their sizes. */
  readonly lines: (checkpoint: Checkpoint) => readonly string[];
  readonly write: (checkpoint: Checkpoint, output: OutputFolder) => Promise<void>;
}

/**
 * @throws TrainerError `BAD_INPUT` for incompatible options, `BAD_CONFIG` for a type that a format does not
 *   support
 */
function writerOf({ to, subModel, domain, dtype, withRoutes = false }: ExportOptions): Writer {
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
  if (withRoutes && to !== 'web')
    throw new TrainerError('BAD_INPUT', '--with-routes is for --to web alone; leave it out');
  const target = to === undefined ? null : TARGETS[to]!;
  const given = to === undefined ? '--sub-model' : `--to ${to}`;
  const types = target?.types ?? ['float32'];
  if (!types.includes(dtype))
    throw new TrainerError(
      'BAD_CONFIG',
      `--dtype ${dtype}: ${given} writes ${types.length === 1 ? 'float32 only; leave it out' : types.join(' or ')}`,
    );
  if (to !== undefined && target !== null)
    return {
      to,
      lines: (checkpoint) => target.lines?.(checkpoint, dtype) ?? [],
      write: (checkpoint, output) => target.write(checkpoint, output, dtype, withRoutes),
    };
  return {
    to: 'sub-model',
    lines: ({ manifest }) => [sizeOfSubModel(manifest.config, domain!)],
    write: (checkpoint, output) => writeSubModel(checkpoint, output, domain!),
  };
}

function formatBytes(bytes: number): string {
  if (bytes < 1e3) return `${bytes} B`;
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
