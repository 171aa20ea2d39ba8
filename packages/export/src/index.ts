import { type Command, Option } from 'commander';
import { resolveCheckpoint } from 'locmoe/checkpoint/checkpoint';
import type { ExportPackage } from 'locmoe/cli/packages';
import { formatTable } from 'locmoe/format';
import { VERSION } from 'locmoe/rpc/version';
import { EXPORT_FILE, writeFolder } from './output-folder.js';
import { TARGETS } from './targets.js';

interface ExportOptions {
  readonly checkpoint: string;
  readonly to: string;
  readonly output: string;
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
    .action(exportCheckpoint);
};

async function exportCheckpoint({ checkpoint: place, to, output: folder }: ExportOptions): Promise<void> {
  const checkpoint = resolveCheckpoint(place, (warning) => console.error(`locmoe: ${warning}`));
  const { runId, step } = checkpoint.manifest;
  const files = await writeFolder(folder, async (output) => {
    await TARGETS[to].write(checkpoint, output);
    await output.write(EXPORT_FILE, `${JSON.stringify({ locmoe: VERSION, to, runId, step }, null, 1)}\n`);
  });
  console.log(`${folder}: the model of ${checkpoint.folder}, step ${step}`);
  console.log(formatTable(files.map(({ name, bytes }) => [name, formatBytes(bytes)])));
}

function formatBytes(bytes: number): string {
  if (bytes < 1e3) return `${bytes} B`;
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
