import { createRequire } from 'node:module';
import path from 'node:path';
import { type Checkpoint, resolveCheckpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { type Dataset, openDataset } from 'locmoe/internal/data/dataset';
import { runCommand } from '../collectives/run-command.js';
import { runTraining } from '../training.js';
import type { PartContext } from './part.js';

const EXPORT_DEADLINE_MS = 300_000;

/** A trained model and its export. */
export interface Exported {
  readonly checkpoint: Checkpoint;
  /** What it was trained on. */
  readonly dataset: Dataset;
  /** Of the export. */
  readonly folder: string;
}

/** Trains the recipe `tiny` with these overrides, and exports what came out. */
export async function exportTrained(
  { workDir, dataDir, signal }: PartContext,
  { to, sets, name }: { readonly to: string; readonly sets: readonly string[]; readonly name: string },
): Promise<Exported> {
  const run = await runTraining({ config: 'tiny', sets, folder: path.join(workDir, name), dataDir });
  const checkpoint = resolveCheckpoint(run.directory, console.error);
  const folder = path.join(workDir, name, 'export');
  const command = createRequire(import.meta.url).resolve('locmoe/internal/cli/cli');
  const args = [command, 'export', '--checkpoint', checkpoint.folder, '--to', to, '--output', folder];
  await runCommand(process.execPath, { args, deadlineMs: EXPORT_DEADLINE_MS, signal });
  return { checkpoint, dataset: openDataset(run.readRecord()!.datasetDir), folder };
}
