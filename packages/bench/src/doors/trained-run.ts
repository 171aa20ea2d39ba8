import path from 'node:path';
import { resolveCheckpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { runTraining } from '../training.js';
import type { PartContext } from './part.js';

/** What a model is trained for here: its speed hardly depends on how good it is. */
const STEPS = 20;

/**
 * A short training of the recipe `small`, or `tiny` if it has to be quick.
 *
 * @returns folder of the run, and what to say of its model
 */
export async function trainedRun({ quick, workDir, dataDir, log }: PartContext) {
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
