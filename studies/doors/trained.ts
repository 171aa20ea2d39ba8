import path from 'node:path';
import { type Checkpoint, resolveCheckpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { type Dataset, openDataset } from 'locmoe/internal/data/dataset';
import { runCommand } from '../../packages/bench/src/collectives/run-command.js';
import { builtCommand, runTraining } from '../../packages/bench/src/training.js';
import type { PartPlace } from '../kit/parts.js';

const EXPORT_DEADLINE_MS = 300_000;
/** Models are trained only briefly here, as their speed hardly depends on their quality. */
const STEPS = 20;

/** A short training of the recipe `small`, or `tiny` if it has to be quick, and what to say of its model. */
export async function trained({ quick, workDir, dataDir, log }: PartPlace) {
  const config = quick ? 'tiny' : 'small';
  log(`training ${config} for ${STEPS} steps`);
  const sets = [`train.steps=${STEPS}`, 'train.validateEvery=1000', 'cluster.nodes=1'];
  const run = await runTraining({ config, sets, folder: path.join(workDir, 'run'), dataDir });
  const checkpoint = resolveCheckpoint(run.directory, () => undefined);
  const { model, moe } = checkpoint.manifest.config;
  return {
    checkpoint,
    name: `Recipe \`${config}\` (d = ${model.dModel}, window ${model.seqLen}, ${moe.router})`,
  };
}

export interface Exported {
  readonly checkpoint: Checkpoint;
  readonly dataset: Dataset;
  readonly folder: string;
}

/** Trains the recipe `tiny` with these overrides, and exports what came out. */
export async function exportTrained(
  { workDir, dataDir, signal }: PartPlace,
  { to, sets, name }: { readonly to: string; readonly sets: readonly string[]; readonly name: string },
): Promise<Exported> {
  const run = await runTraining({ config: 'tiny', sets, folder: path.join(workDir, name), dataDir });
  const checkpoint = resolveCheckpoint(run.directory, console.error);
  const folder = path.join(workDir, name, 'export');
  const args = [builtCommand(), 'export', '--checkpoint', checkpoint.folder, '--to', to, '--output', folder];
  await runCommand(process.execPath, { args, deadlineMs: EXPORT_DEADLINE_MS, signal });
  return { checkpoint, dataset: openDataset(run.readRecord()!.datasetDir), folder };
}
