import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { RunFolder } from '@locmoe/run-format';
import { loadConfig } from 'locmoe/internal/config/resolve';
import { formatNumberOf } from 'locmoe/internal/format';
import { goesOnFromHere, runTraining } from './training.js';

export interface KeptRunOptions {
  /** Recipe or config file. */
  readonly config: string;
  readonly sets: readonly string[];
  /** Name of the run in the work folder, which keeps one result of this name. */
  readonly name: string;
  /** Trains even if the work folder has the run. */
  readonly isAnew?: boolean;
  readonly workDir: string;
  readonly dataDir: string;
}

/**
 * Returns the figures of a run, which is trained unless the work folder has the same run already. The run
 * folder stays, without its checkpoints.
 *
 * @param read reads the figures, which are kept as JSON, from the folder of the finished run
 * @throws TrainerError as `loadConfig` and `runTraining`
 */
export async function keptRun<Figures>(
  { config, sets, name, isAnew = false, workDir, dataDir }: KeptRunOptions,
  read: (run: RunFolder) => Figures | Promise<Figures>,
): Promise<Figures> {
  const resolved = loadConfig(config, { sets });
  const key = JSON.stringify(resolved);
  const kept = path.join(workDir, 'results', `${name.replaceAll(/[^\w.-]/g, '_')}.json`);
  if (existsSync(kept) && !isAnew) {
    const found: { key: string; figures: Figures } = JSON.parse(readFileSync(kept, 'utf8'));
    if (found.key === key) return found.figures;
  }
  console.log(`${name}: ${formatNumberOf(resolved.train.steps, 'step')}`);
  const folder = path.resolve(workDir, 'runs', path.parse(kept).name);
  const run = await runTraining({ config, sets, dataDir, folder }).catch(goesOnFromHere);
  const figures = await read(run);
  rmSync(run.checkpoints, { recursive: true, force: true });
  mkdirSync(path.dirname(kept), { recursive: true });
  writeFileSync(`${kept}.tmp`, JSON.stringify({ key, figures }));
  renameSync(`${kept}.tmp`, kept);
  return figures;
}
